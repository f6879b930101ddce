#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0::detail::page {

/// Text that a browser shows as it stands, in an element or between an attribute's quotes.
inline std::string escaped(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        if (c == '<')
            safe += "&lt;";
        else if (c == '>')
            safe += "&gt;";
        else if (c == '&')
            safe += "&amp;";
        else if (c == '"')
            safe += "&quot;";
        else
            safe += c;
    }
    return safe;
}

/// Three digits, for a number from 1 to 1000.
inline std::string three_digits(double value) {
    char text[32];
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return text;
}

/// A place in a drawing.
inline std::string place(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    std::string_view short_text = text;
    if (short_text.size() > 2 && short_text.substr(short_text.size() - 2) == ".0")
        short_text.remove_suffix(2);
    return std::string(short_text);
}

inline std::string scaled(double value, const char* const (&units)[5]) {
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < 5) {
        value /= 1000;
        ++unit;
    }
    return concat(three_digits(value), " ", units[unit]);
}

/// "1.31 MB", with powers of 1000.
inline std::string bytes_text(std::int64_t bytes) {
    if (bytes < 1000) return concat(bytes, " B");
    return scaled(static_cast<double>(bytes) / 1000, {"kB", "MB", "GB", "TB", "PB"});
}

inline std::string time_text(double seconds) {
    if (seconds < 999.5e-9) return concat(place(seconds * 1e9), " ns");
    return scaled(seconds * 1e6, {"µs", "ms", "s", "thousand s", "million s"});
}

/// "12,345".
inline std::string count_text(std::int64_t count) {
    const std::string digits = concat(count);
    std::string text;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0) text += ',';
        text += digits[i];
    }
    return text;
}

inline std::string percent_text(double part, double all) {
    return all > 0 ? concat(place(100 * part / all), " %") : "0 %";
}

/// "3 nodes", "1 node".
inline std::string counted(std::int64_t count, std::string_view what) {
    return concat(count_text(count), " ", what, count == 1 ? "" : "s");
}

/// A mark at 1, 2 or 5 times a power of ten, so that about `marks` of them reach `most`.
inline double round_step(double most, double marks) {
    double step = 1e-12;
    const double multiples[] = {2, 2.5, 2};
    for (std::size_t i = 0; most / step > marks && i < 120; ++i) step *= multiples[i % 3];
    return step;
}

inline std::string cell(std::string_view text) {
    return concat("<td>", text, "</td>");
}

/// One of the tiles at the head of the page.
inline std::string tile(std::string_view name, std::string_view value, std::string_view more) {
    return concat("<div class=\"tile\"><dt>", name, "</dt><dd><b>", value, "</b> <span>", more,
                  "</span></dd></div>\n");
}

/// The beginning of a drawing of its real size; a narrow window scrolls it.
inline std::string svg_begin(double width, double height, std::string_view title,
                             std::string_view description) {
    return concat("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"", title,
                  "\"><svg role=\"img\" width=\"", place(width), "\" height=\"", place(height),
                  "\" viewBox=\"0 0 ", place(width), " ", place(height), "\"><title>", title,
                  "</title><desc>", description, "</desc>\n");
}

inline std::string svg_end() {
    return "</svg></div>\n";
}

inline std::string svg_words(double x, double y, std::string_view style, std::string_view words) {
    return concat("<text x=\"", place(x), "\" y=\"", place(y), "\" class=\"", style, "\">", words,
                  "</text>");
}

inline std::string svg_box(double x, double y, double width, double height,
                           std::string_view style) {
    return concat("<rect x=\"", place(x), "\" y=\"", place(y), "\" width=\"", place(width),
                  "\" height=\"", place(height), "\" class=\"", style, "\"/>");
}

inline std::string svg_rule(double x1, double y1, double x2, double y2, std::string_view style) {
    return concat("<path class=\"", style, "\" d=\"M", place(x1), " ", place(y1), "L", place(x2),
                  " ", place(y2), "\"/>");
}

}  // namespace locmoe::detail::page
