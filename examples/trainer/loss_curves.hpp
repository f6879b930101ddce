#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "report.hpp"

namespace trainer {

/// The training losses of all routers in one figure: bits per byte against the step, each a mean
/// over the last fiftieth of the run; names stand at the curves' ends, best first. Light and dark.
inline std::string loss_curves_svg(const run_report& report) {
    constexpr double left = 60, right = 700, top = 40, bottom = 440, names = 716;
    const auto number = [](double v, const char* form = "%.1f") {
        std::array<char, 32> text;
        std::snprintf(text.data(), text.size(), form, v);
        return std::string(text.data());
    };

    struct curve {
        std::string name;
        std::vector<double> bits;  // smoothed
        std::string look;
    };
    std::vector<curve> curves;
    std::size_t steps = 1;
    for (const router_report& r : report.routers) {
        curve c{r.name, {}, ""};
        const std::size_t window = std::max<std::size_t>(1, r.losses.size() / 50);
        double sum = 0;
        for (std::size_t s = 0; s < r.losses.size(); ++s) {
            sum += r.losses[s] - (s >= window ? r.losses[s - window] : 0);
            c.bits.push_back(sum / static_cast<double>(std::min(s + 1, window)));
        }
        steps = std::max(steps, c.bits.size());
        curves.push_back(std::move(c));
    }
    std::stable_sort(curves.begin(), curves.end(),
                     [](const curve& a, const curve& b) { return a.bits.back() < b.bits.back(); });

    // From the best end up to where all have come down after a tenth of the run.
    double low = report.order2_bits_per_byte, high = low;
    for (const curve& c : curves) {
        low = std::min(low, *std::min_element(c.bits.begin(), c.bits.end()));
        high = std::max(high, c.bits[c.bits.size() / 10]);
    }
    low = std::floor(low * 5) / 5;
    high = std::ceil(high * 5 + 0.01) / 5;
    const auto x = [&](double step) {
        return left + (right - left) * step / static_cast<double>(steps);
    };
    const auto y = [&](double bits) {
        return bottom - (bottom - top) * (bits - low) / (high - low);
    };

    std::string svg =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 490\" role=\"img\" "
        "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n<title>Training loss by "
        "router</title>\n<style>rect{fill:#fff}text{fill:#333}.rule{stroke:#e4e4e4}"
        ".c{fill:none;stroke-width:1.8}.base{stroke:#888;stroke-dasharray:6 4}"
        "@media (prefers-color-scheme:dark){rect{fill:#12151a}text{fill:#dde1e6}"
        ".rule{stroke:#343b44}}</style>\n<rect width=\"900\" height=\"490\"/>\n"
        "<text x=\"60\" y=\"22\" font-size=\"15\" font-weight=\"bold\">Training loss by router"
        "</text>\n<defs><clipPath id=\"f\"><path d=\"M60 40h640v400h-640z\"/></clipPath></defs>\n";
    const auto line = [&](double x1, double y1, double x2, double y2, const char* look) {
        svg += "<path class=\"" + std::string(look) + "\" d=\"M" + number(x1) + " " + number(y1) +
               "L" + number(x2) + " " + number(y2) + "\"/>\n";
    };
    const auto words = [&](double at, double height, const char* anchor, const std::string& said) {
        svg += "<text x=\"" + number(at) + "\" y=\"" + number(height) + "\" text-anchor=\"" +
               anchor + "\">" + said + "</text>\n";
    };
    const double rise = high - low > 4 ? 1 : high - low > 2 ? 0.5 : 0.2;
    for (double bits = low; bits < high + 1e-9; bits += rise) {
        line(left, y(bits), right, y(bits), "rule");
        words(left - 8, y(bits) + 4, "end", number(bits));
    }
    for (int i = 0; i <= 5; ++i) {
        const double step = static_cast<double>(steps) * i / 5;
        line(x(step), top, x(step), bottom, "rule");
        words(x(step), bottom + 18, "middle", number(step, "%.0f"));
    }
    words((left + right) / 2, bottom + 38, "middle", "step");
    words(left, top - 4, "start", "bits per byte");
    if (report.order2_bits_per_byte < high) {
        line(left, y(report.order2_bits_per_byte), right, y(report.order2_bits_per_byte), "base");
        words(right - 4, y(report.order2_bits_per_byte) - 5, "end", "trigram counts, held out");
    }

    // Eight hues, told apart in light and dark; further rounds of them are dashed.
    constexpr const char* hues[] = {"#2f7ed8", "#d9622b", "#2e9e5b", "#a05cc8",
                                    "#c2932a", "#d1477a", "#2aa5a8", "#8c8c8c"};
    constexpr const char* dashes[] = {"", "7 3", "2 3"};
    const double pitch = std::min(
        20.0, (bottom - top) / static_cast<double>(std::max<std::size_t>(1, curves.size())));
    for (std::size_t i = 0; i < curves.size(); ++i) {
        const std::string stroke = "stroke=\"" + std::string(hues[i % 8]) +
                                   "\" stroke-dasharray=\"" + dashes[i / 8 % 3] + "\"";
        svg += "<path class=\"c\" clip-path=\"url(#f)\" " + stroke + " d=\"";
        const std::size_t every = std::max<std::size_t>(1, curves[i].bits.size() / 400);
        for (std::size_t s = 0; s < curves[i].bits.size(); ++s)
            if (s % every == 0 || s + 1 == curves[i].bits.size())
                svg += (s == 0 ? "M" : "L") + number(x(static_cast<double>(s + 1))) + " " +
                       number(y(curves[i].bits[s]));
        svg += "\"/>\n";
        const double at = top + pitch * (static_cast<double>(i) + 0.7);
        svg += "<path class=\"c\" " + stroke + " d=\"M" + number(names) + " " + number(at - 4) +
               "h18\"/>\n";
        words(names + 24, at, "start",
              curves[i].name + " " + number(curves[i].bits.back(), "%.2f"));
    }
    return svg + "</svg>\n";
}

}  // namespace trainer
