#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "locmoe/plan/detail/page_text.hpp"

namespace locmoe::inline v0::detail::page {

/// One column for each count, with lines at their mean and their most; where there are more than
/// 256, a column is the most of neighbours.
inline std::string bar_chart(std::span<const std::int64_t> counts, std::string_view title,
                             std::string_view of_what) {
    constexpr double left = 84, right = 950, top = 24, bottom = 224;
    std::int64_t sum = 0;
    std::int64_t most = 0;
    for (const std::int64_t c : counts) {
        sum += c;
        most = c > most ? c : most;
    }
    const double mean = static_cast<double>(sum) / static_cast<double>(counts.size());
    const std::string mean_text =
        mean < 1000 ? place(mean) : count_text(static_cast<std::int64_t>(mean + 0.5));
    const double full = most > 0 ? static_cast<double>(most) : 1;
    const auto y = [&](double v) { return bottom - (bottom - top) * v / full; };

    std::string svg = svg_begin(right + 30, bottom + 44, title,
                                concat(counted(static_cast<std::int64_t>(counts.size()), of_what),
                                       ": mean ", mean_text, ", at most ", count_text(most), "."));
    double step = round_step(full, 5);
    if (step < 1) step = 1;
    for (double v = 0; v <= full * (1 + 1e-9); v += step) {
        svg += svg_rule(left, y(v), right, y(v), "rule");
        svg += svg_words(left - 8, y(v) + 4, "end", count_text(static_cast<std::int64_t>(v + 0.5)));
    }
    const std::size_t together = (counts.size() + 255) / 256;
    const std::size_t columns = (counts.size() + together - 1) / together;
    const double pitch = (right - left) / static_cast<double>(columns);
    const double gap = pitch > 6 ? 2 : pitch > 3 ? 1 : 0.3;
    const std::size_t labelled = (columns + 15) / 16;
    std::string bars;
    for (std::size_t c = 0; c < columns; ++c) {
        std::int64_t tallest = 0;
        for (std::size_t i = c * together; i < counts.size() && i < (c + 1) * together; ++i)
            tallest = counts[i] > tallest ? counts[i] : tallest;
        const double x = left + pitch * static_cast<double>(c);
        const double height = bottom - y(static_cast<double>(tallest));
        bars += concat("M", place(x + gap / 2), " ", place(bottom), "v-", place(height), "h",
                       place(pitch - gap), "v", place(height), "z");
        if (c % labelled == 0)
            svg += svg_words(x + pitch / 2, bottom + 16, "middle", concat(c * together));
    }
    svg += concat("<path class=\"column\" d=\"", bars, "\"/>\n");
    svg += svg_rule(left, y(mean), right, y(mean), "mean");
    svg += svg_rule(left, y(full), right, y(full), "most");
    svg += svg_words(right, y(full) - 6, "end strong", concat("most: ", count_text(most)));
    svg += svg_words(left, top - 10, "strong", concat("mean (dashed): ", mean_text));
    svg += svg_words(
        (left + right) / 2, bottom + 36, "middle",
        together == 1 ? std::string(of_what) : concat(of_what, ", the most of each ", together));
    return svg + "\n" + svg_end();
}

}  // namespace locmoe::detail::page
