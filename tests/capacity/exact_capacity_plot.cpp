#include "locmoe/capacity/exact_capacity_plot.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "catch.hpp"

using Catch::Contains;
using locmoe::capacity_report;
using locmoe::to_svg;

namespace {

capacity_report some_report(std::size_t d, std::size_t n, double delta,
                            std::optional<std::int64_t> capacity) {
    static const std::vector<std::int64_t> load(1024, 64);
    locmoe::capacity_step step;
    step.hidden_size = d;
    step.demand = {64 * n, 1, n};
    step.capacity = capacity;
    step.load = std::span(load).first(n);
    for (const double part : {0.5, 0.9, 1.0, 1.6})
        step.delta.record(delta * part < 1 ? delta * part : 1);
    return make_capacity_report(step);
}

std::size_t count(const std::string& text, const std::string& what) {
    std::size_t times = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
        ++times;
    return times;
}

/// The number that follows `name="`.
double attribute(const std::string& text, const std::string& name, std::size_t from) {
    return std::strtod(text.c_str() + text.find(name + "=\"", from) + name.size() + 2, nullptr);
}

/// y of the exact curve where it passes x, by its points.
double curve_at(const std::string& svg, double x) {
    const std::size_t colour = svg.find("fill=\"none\" stroke=\"#1f4e9c\"");
    const char* at = svg.c_str() + svg.rfind("points=\"", colour) + 8;
    double x0 = 0, y0 = 0;
    for (bool first = true;; first = false) {
        char* end = nullptr;
        const double x1 = std::strtod(at, &end);
        if (end == at) return std::nan("");
        const double y1 = std::strtod(end + 1, &end);
        at = end;
        if (!first && x1 >= x) return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
        x0 = x1;
        y0 = y1;
    }
}

}  // namespace

TEST_CASE("the plot is one whole SVG with three curves and this run's point in its frame") {
    for (const std::size_t d : {2u, 64u, 4096u, 65536u})
        for (const std::size_t n : {1u, 16u, 1024u})
            for (const double delta : {1e-5, 0.03, 0.2, 0.99}) {
                INFO("d " << d << ", n " << n << ", delta " << delta);
                const std::string svg = to_svg(some_report(d, n, delta, 64));
                CHECK(svg.rfind("<svg", 0) == 0);
                CHECK(svg.substr(svg.size() - 7) == "</svg>\n");
                for (const char* tag : {"text", "tspan", "g", "clipPath", "title", "svg"})
                    CHECK(count(svg, std::string("<") + tag + ">") +
                              count(svg, std::string("<") + tag + " ") ==
                          count(svg, std::string("</") + tag + ">"));
                CHECK(count(svg, "<polyline") == 3);
                CHECK_THAT(svg, !Contains("nan") && !Contains("inf"));
                const std::size_t point = svg.find("<circle");
                REQUIRE(point != std::string::npos);
                using figure = locmoe::detail::capacity_figure;
                const double x = attribute(svg, "cx", point);
                const double y = attribute(svg, "cy", point);
                CHECK(x >= figure::left);
                CHECK(x <= figure::right);
                CHECK(y >= figure::top);
                CHECK(y <= figure::bottom);
                const std::size_t last = svg.find(">90°");  // the right angle stands at the right
                REQUIRE(last != std::string::npos);
                CHECK(attribute(svg, "x", svg.rfind("<text", last)) == figure::right);
                CHECK(count(svg, "°") >= 3);
                CHECK(count(svg, "°") <= 12);
            }
}

TEST_CASE("the bound's ring lies on the exact curve, below the slots in use") {
    const std::string svg = to_svg(some_report(1024, 16, 0.06, 64));
    const std::size_t ring = svg.find("<circle clip-path");
    REQUIRE(ring != std::string::npos);
    const double x = attribute(svg, "cx", ring);
    const double y = attribute(svg, "cy", ring);
    CHECK(std::fabs(curve_at(svg, x) - y) < 0.5);
    CHECK(attribute(svg, "cy", svg.find("<circle")) < y);
}

TEST_CASE("a dropless step has a bound on the plot but no line of slots in use") {
    const std::string svg = to_svg(some_report(1024, 16, 0.06, std::nullopt));
    CHECK(count(svg, "<circle") == 1);
    CHECK_THAT(svg, !Contains("in use"));
    CHECK_THAT(to_svg(some_report(1024, 16, 0.06, 64)), Contains("in use (64)"));
}
