#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "locmoe/plan/detail/page_text.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::inline v0::detail::page {

/// Bytes that the places of one kind send one another: ranks, nodes, or neighbours taken together.
class traffic_matrix {
  public:
    explicit traffic_matrix(std::size_t places) : places_(places), bytes_(places * places, 0) {}

    /// What dispatch sends, where rank r stands in place `place_of[r]`.
    traffic_matrix(std::span<const exchange_plan> plans, std::size_t row_bytes,
                   const std::vector<std::size_t>& place_of, std::size_t places)
        : traffic_matrix(places) {
        for (const exchange_plan& plan : plans)
            for (const phase& p : plan.dispatch.phases)
                for (const segment& s : p.sends)
                    bytes_[place_of[static_cast<std::size_t>(plan.rank)] * places_ +
                           place_of[static_cast<std::size_t>(s.peer)]] +=
                        s.rows * static_cast<std::int64_t>(row_bytes);
    }

    std::size_t places() const { return places_; }
    std::int64_t at(std::size_t from, std::size_t to) const { return bytes_[from * places_ + to]; }
    std::span<const std::int64_t> all() const { return bytes_; }

  private:
    std::size_t places_;
    std::vector<std::int64_t> bytes_;  // [places, places]
};

/// Steps of heat on a logarithmic scale that ends at the most and begins at the least that is sent,
/// a tenth of the most at the latest: noise shall not look like structure.
class heat_scale {
  public:
    static constexpr std::size_t steps = 8;

    explicit heat_scale(std::span<const std::int64_t> values) {
        std::int64_t least = 0;
        for (const std::int64_t v : values) {
            if (v > most_) most_ = v;
            if (v > 0 && (least == 0 || v < least)) least = v;
        }
        const double top = static_cast<double>(most_ > 0 ? most_ : 1);
        double low = static_cast<double>(least);
        if (!(low > 0 && low < top / 10)) low = top / 10;
        for (std::size_t i = 0; i < steps; ++i)
            edges_[i] = static_cast<std::int64_t>(
                std::ceil(low * std::pow(top / low, static_cast<double>(i) / steps) - 1e-6));
    }

    /// Of a value above 0.
    std::size_t step_of(std::int64_t value) const {
        std::size_t step = 0;
        while (step + 1 < steps && value >= edges_[step + 1]) ++step;
        return step;
    }
    /// Where a step begins.
    std::int64_t edge(std::size_t step) const { return edges_[step]; }
    std::int64_t most() const { return most_; }

  private:
    std::int64_t most_ = 0;
    std::int64_t edges_[steps] = {};
};

inline constexpr double heat_legend_width = 44 + 78 * heat_scale::steps + 80;

inline std::string heat_legend(const heat_scale& scale, double x, double y) {
    std::string svg = svg_words(x, y + 11, "", "0");
    svg += svg_box(x + 12, y, 24, 14, "zero");
    for (std::size_t i = 0; i < heat_scale::steps; ++i) {
        const double left = x + 44 + 78 * static_cast<double>(i);
        svg += svg_box(left, y, 78, 14, concat("f", i));
        svg += svg_words(left, y + 28, "", bytes_text(scale.edge(i)));
    }
    return svg + svg_words(x + 52 + 78 * heat_scale::steps, y + 11, "",
                           concat("most: ", bytes_text(scale.most())));
}

/// Words at the middle of a cell, or of several, counted in cells.
struct heat_label {
    double middle = 0;
    std::string words;
};

/// Senders downwards, receivers across, with lines before the places in `borders`. Few cells have
/// their numbers on them; many are runs of one step in a path, some 6 bytes each.
inline std::string heat_map(const traffic_matrix& matrix, std::string_view title,
                            std::string_view description, const std::vector<heat_label>& labels,
                            const std::vector<std::size_t>& borders) {
    constexpr double left = 84, top = 44, room = 768;
    const std::size_t n = matrix.places();
    const bool numbered = n <= 12;
    double cell_size = std::floor(room / static_cast<double>(n));
    if (cell_size > 64) cell_size = 64;
    if (cell_size < 1) cell_size = 1;
    const double size = cell_size * static_cast<double>(n);
    const double least_width = left + heat_legend_width + 40;
    const double width = left + size + 20 > least_width ? left + size + 20 : least_width;
    const heat_scale scale(matrix.all());

    std::string svg = svg_begin(width, top + size + 56, title, description);
    svg += svg_words(left + size / 2, 14, "middle", "to");
    svg += svg_words(4, top + size / 2, "", "from");
    for (const heat_label& l : labels) {
        const double at = l.middle * cell_size;
        svg += svg_words(left + at, top - 8, "middle", l.words);
        svg += svg_words(left - 6, top + at + 4, "end", l.words);
    }
    svg += svg_box(left, top, size, size, "zero");
    if (numbered) {
        for (std::size_t from = 0; from < n; ++from)
            for (std::size_t to = 0; to < n; ++to) {
                const std::int64_t bytes = matrix.at(from, to);
                if (bytes == 0) continue;
                const double x = left + cell_size * static_cast<double>(to);
                const double y = top + cell_size * static_cast<double>(from);
                const std::size_t step = scale.step_of(bytes);
                svg += svg_box(x, y, cell_size, cell_size, concat("f", step));
                svg += svg_words(x + cell_size / 2, y + cell_size / 2 + 4, concat("v v", step),
                                 bytes_text(bytes));
            }
    } else {
        std::vector<std::string> paths(heat_scale::steps);
        for (std::size_t from = 0; from < n; ++from) {
            std::size_t reached[heat_scale::steps] = {};
            bool begun[heat_scale::steps] = {};
            for (std::size_t to = 0; to < n;) {
                const std::int64_t bytes = matrix.at(from, to);
                const std::size_t step = bytes > 0 ? scale.step_of(bytes) : 0;
                std::size_t end = to + 1;
                while (end < n && (bytes > 0) == (matrix.at(from, end) > 0) &&
                       (bytes == 0 || scale.step_of(matrix.at(from, end)) == step))
                    ++end;
                if (bytes > 0) {
                    paths[step] += begun[step] ? concat("m", to - reached[step], " 0h", end - to)
                                               : concat("M", to, " ", from, "h", end - to);
                    begun[step] = true;
                    reached[step] = end;
                }
                to = end;
            }
        }
        svg += concat("<g class=\"cells\" transform=\"translate(", place(left), " ",
                      place(top + cell_size / 2), ") scale(", place(cell_size), ")\">\n");
        for (std::size_t i = 0; i < paths.size(); ++i)
            if (!paths[i].empty())
                svg += concat("<path class=\"s", i, "\" d=\"", paths[i], "\"/>\n");
        svg += "</g>\n";
    }
    std::string lines;
    for (const std::size_t b : borders) {
        const std::string x = place(left + cell_size * static_cast<double>(b));
        const std::string y = place(top + cell_size * static_cast<double>(b));
        lines += concat("M", x, " ", place(top), "v", place(size), "M", place(left), " ", y, "h",
                        place(size));
    }
    svg += concat("<path class=\"border\" d=\"", lines, "\"/>");
    svg += svg_box(left, top, size, size, "frame");
    svg += heat_legend(scale, left, top + size + 16);
    return svg + svg_end();
}

}  // namespace locmoe::detail::page
