#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "locmoe/capacity/exact_capacity.hpp"
#include "locmoe/capacity/exact_capacity_report.hpp"
#include "locmoe/capacity/exact_largest_delta.hpp"

// Asks for Boost.Math's headers, so locmoe.hpp leaves it out.

namespace locmoe::inline v0 {

namespace detail {

/// The figure's frame: degrees across, slots upwards as powers of ten.
class capacity_figure {
  public:
    static constexpr double width = 760, height = 474;
    static constexpr double left = 78, right = 736, top = 62, bottom = 398;

    capacity_figure(double least_degrees, int least_decade, int most_decade)
        : degrees_(least_degrees), low_(least_decade), high_(most_decade) {}

    double least_degrees() const { return degrees_; }
    int least_decade() const { return low_; }
    int most_decade() const { return high_; }

    double x(double degrees) const {
        return left + (right - left) * (degrees - degrees_) / (90 - degrees_);
    }

    /// Of a natural logarithm of slots; what lies outside goes just past the edge.
    double y(double log_slots) const {
        double decades = log_slots / 2.302585092994045684;
        if (!(decades < high_ + 1)) decades = high_ + 1;
        if (decades < low_ - 1) decades = low_ - 1;
        return bottom - (bottom - top) * (decades - low_) / (high_ - low_);
    }

  private:
    double degrees_;
    int low_;
    int high_;
};

inline std::string coordinate(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
}

inline double degrees_of(double delta) {
    return std::acos(delta < 1 ? delta : 1) * 57.295779513082320877;
}

inline std::string svg_line(double x1, double y1, double x2, double y2, const char* style) {
    return concat("<line x1=\"", coordinate(x1), "\" y1=\"", coordinate(y1), "\" x2=\"",
                  coordinate(x2), "\" y2=\"", coordinate(y2), "\" ", style, "/>\n");
}

inline std::string svg_text(double x, double y, const char* style, const std::string& words) {
    return concat("<text x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" ", style, ">", words,
                  "</text>\n");
}

inline std::string power_of_ten(int decade) {
    if (decade >= 0 && decade <= 6) return concat(static_cast<long>(std::pow(10.0, decade) + 0.5));
    return concat("10<tspan dy=\"-5\" font-size=\"9\">", decade, "</tspan>");
}

inline std::string svg_axes(const capacity_figure& f) {
    std::string svg;
    const double range = 90 - f.least_degrees();
    double step = 0.1;
    for (const double next : {0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0})
        if (range / step > 10) step = next;
    for (double a = std::ceil(f.least_degrees() / step - 1e-9) * step; a < 90 + 1e-9; a += step) {
        svg += svg_line(f.x(a), f.top, f.x(a), f.bottom, "stroke=\"#e6e6e6\"");
        svg += svg_text(f.x(a), f.bottom + 18, "text-anchor=\"middle\"",
                        concat(short_number(std::round(a * 10) / 10), "°"));
    }
    const int decades = f.most_decade() - f.least_decade();
    const int every = (decades + 8) / 9;
    for (int i = f.least_decade(); i <= f.most_decade(); ++i) {
        const double y = f.y(i * 2.302585092994045684);
        svg += svg_line(f.left, y, f.right, y, "stroke=\"#e6e6e6\"");
        if ((i - f.least_decade()) % every == 0)
            svg += svg_text(f.left - 8, y + 4, "text-anchor=\"end\"", power_of_ten(i));
    }
    svg += concat("<rect x=\"", coordinate(f.left), "\" y=\"", coordinate(f.top), "\" width=\"",
                  coordinate(f.right - f.left), "\" height=\"", coordinate(f.bottom - f.top),
                  "\" fill=\"none\" stroke=\"#555\"/>\n");
    svg += svg_text(0.5 * (f.left + f.right), f.bottom + 40, "text-anchor=\"middle\"",
                    "angle between token and gating weight");
    svg += concat("<text transform=\"translate(20 ", coordinate(0.5 * (f.top + f.bottom)),
                  ") rotate(-90)\" text-anchor=\"middle\">slots per expert</text>\n");
    return svg;
}

template <class Bound>
std::string svg_curve(const capacity_figure& f, const Bound& log_slots, const char* style) {
    std::string points;
    constexpr int steps = 240;
    for (int i = 0; i <= steps; ++i) {
        const double degrees = f.least_degrees() + (90 - f.least_degrees()) * i / steps;
        const double delta = i == steps ? 0 : std::cos(degrees / 57.295779513082320877);
        points += concat(i == 0 ? "" : " ", coordinate(f.x(degrees)), ",",
                         coordinate(f.y(log_slots(delta))));
    }
    return concat("<polyline points=\"", points, "\" fill=\"none\" ", style, "/>\n");
}

}  // namespace detail

/// The least capacity against the angle between token and gating weight, as in the paper's Figure
/// 6, in all three forms on a logarithmic axis, with this step on it: where its mean |cos| lies,
/// the band from the median to 99 % of its tokens, the bound there, and the slots in use and of the
/// rival. A whole SVG file on a light background. Angles run to 90 degrees from where the bound
/// passes a hundredfold of the slots, or from the 99 % where that is less.
inline std::string to_svg(const capacity_report& r) {
    using detail::capacity_figure;
    using detail::concat;
    using detail::short_number;
    using detail::svg_line;
    using detail::svg_text;

    const std::size_t n = r.demand.expert_count;
    const double experts = static_cast<double>(n);
    const double rival = static_cast<double>(*r.rival.capacity > 1 ? *r.rival.capacity : 1);
    const double used = r.used.capacity ? static_cast<double>(*r.used.capacity) : 0;
    const int low = static_cast<int>(std::floor(-std::log10(experts)));
    const int high = static_cast<int>(std::ceil(std::log10(used > rival ? used : rival))) + 1;
    const double edge = detail::degrees_of(
        largest_delta_exact({std::pow(10.0, high + 1), r.hidden_size, n, r.caps}));
    const double run = detail::degrees_of(r.q99_delta);
    const double least = edge < run ? edge : run;
    const capacity_figure f(least > 1 ? least - 0.02 * (90 - least) : least, low, high);

    std::string svg =
        concat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ",
               detail::coordinate(capacity_figure::width), " ",
               detail::coordinate(capacity_figure::height),
               "\" role=\"img\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" "
               "fill=\"#222\">\n<title>Least expert capacity against the angle</title>\n",
               "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
               "<clipPath id=\"frame\"><rect x=\"", detail::coordinate(f.left), "\" y=\"",
               detail::coordinate(f.top), "\" width=\"", detail::coordinate(f.right - f.left),
               "\" height=\"", detail::coordinate(f.bottom - f.top), "\"/></clipPath>\n");
    svg += svg_text(f.left, 24, "font-size=\"15\" font-weight=\"bold\"",
                    "Least expert capacity against the angle");
    svg += svg_text(
        f.left, 44, "fill=\"#555\"",
        concat("d = ", r.hidden_size, ", ", n, " experts, ", r.demand.token_count, " tokens, top-",
               r.demand.choice_count, ", ", r.caps == sphere_caps::both ? "both caps" : "one cap"));

    const double nearest = f.x(detail::degrees_of(r.q99_delta));
    const double farthest = f.x(detail::degrees_of(r.median_delta));
    svg += concat("<rect x=\"", detail::coordinate(nearest), "\" y=\"", detail::coordinate(f.top),
                  "\" width=\"", detail::coordinate(farthest - nearest), "\" height=\"",
                  detail::coordinate(f.bottom - f.top), "\" fill=\"#f3ead2\"/>\n");
    svg += detail::svg_axes(f);

    svg += "<g clip-path=\"url(#frame)\" stroke-width=\"2\">\n";
    svg += detail::svg_curve(
        f,
        [&](double delta) {
            return least_capacity_exponential({r.hidden_size, delta, r.caps}, n).log_slots;
        },
        "stroke=\"#2f7d4f\" stroke-dasharray=\"2 4\"");
    svg += detail::svg_curve(
        f,
        [&](double delta) {
            return least_capacity_exact({r.hidden_size, delta, r.caps}, n).log_slots;
        },
        "stroke=\"#1f4e9c\"");
    svg += detail::svg_curve(
        f,
        [&](double delta) {
            return least_capacity_erfc({r.hidden_size, delta, r.caps}, n).log_slots;
        },
        "stroke=\"#e08a3c\" stroke-dasharray=\"9 6\"");
    svg += "</g>\n";

    const double at = f.x(detail::degrees_of(r.mean_delta));
    const double rival_y = f.y(std::log(rival));
    svg += svg_line(f.left, rival_y, f.right, rival_y, "stroke=\"#888\" stroke-dasharray=\"5 3\"");
    if (used > 0) {
        const double used_y = f.y(std::log(used));
        svg += svg_line(f.left, used_y, f.right, used_y, "stroke=\"#b3261e\"");
        svg += svg_line(at, used_y, at, f.y(r.exact.log_slots),
                        "clip-path=\"url(#frame)\" stroke=\"#b3261e\" stroke-dasharray=\"2 3\"");
        svg += concat("<circle cx=\"", detail::coordinate(at), "\" cy=\"",
                      detail::coordinate(used_y), "\" r=\"5\" fill=\"#b3261e\"/>\n");
    }
    svg += concat("<circle clip-path=\"url(#frame)\" cx=\"", detail::coordinate(at), "\" cy=\"",
                  detail::coordinate(f.y(r.exact.log_slots)),
                  "\" r=\"5\" fill=\"#fff\" stroke=\"#1f4e9c\" stroke-width=\"2\"/>\n");

    // The legend stands below the axis, where no curve comes.
    const double row = capacity_figure::height - 8;
    double x = f.left - 66;
    const auto entry = [&](const char* style, const std::string& words, double room) {
        svg += svg_line(x, row - 4, x + 22, row - 4, style);
        svg += svg_text(x + 27, row, "font-size=\"11\"", words);
        x += room;
    };
    entry("stroke-width=\"2\" stroke=\"#1f4e9c\"",
          concat("exact (here ", detail::short_slots(r.exact), ")"), 152);
    entry("stroke-width=\"2\" stroke=\"#e08a3c\" stroke-dasharray=\"9 6\"", "erfc", 66);
    entry("stroke-width=\"2\" stroke=\"#2f7d4f\" stroke-dasharray=\"2 4\"", "exponential", 104);
    if (used > 0) entry("stroke=\"#b3261e\"", concat("in use (", *r.used.capacity, ")"), 120);
    entry("stroke=\"#888\" stroke-dasharray=\"5 3\"",
          concat("factor ", short_number(r.rival.factor), " (", *r.rival.capacity, ")"), 142);
    svg += concat("<rect x=\"", detail::coordinate(x), "\" y=\"", detail::coordinate(row - 10),
                  "\" width=\"22\" height=\"12\" fill=\"#f3ead2\" stroke=\"#d9c99a\"/>\n");
    svg += svg_text(x + 27, row, "font-size=\"11\"", "50 to 99 % of tokens");
    return svg + "</svg>\n";
}

}  // namespace locmoe
