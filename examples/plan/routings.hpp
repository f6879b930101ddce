#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/random_bits.hpp"
#include "locmoe/routing/routing.hpp"

#include "expert_ids.hpp"
#include "json_ids.hpp"
#include "npy.hpp"

namespace plan_program {

inline expert_ids read_ids(const std::string& file) {
    const auto ends_with = [&](std::string_view end) {
        return file.size() >= end.size() && file.substr(file.size() - end.size()) == end;
    };
    expert_ids read;
    if (ends_with(".npy"))
        read = npy_reader(file, read_whole(file)).read();
    else if (ends_with(".json"))
        read = json_ids_reader(file).read(read_whole(file));
    else
        refuse(file, "a routing's name to end in .npy or .json", "another");
    if (read.ids.empty()) refuse(file, "at least one token with a choice", shape_text(read.shape));
    return read;
}

/// A routing of each rank. `experts` 0: as many as there are by the largest id.
inline std::vector<locmoe::routing> read_routings(const std::vector<std::string>& files,
                                                  std::size_t ranks, std::size_t experts) {
    if (files.size() != 1 && files.size() != ranks)
        refuse("--routing", concat("one file, or one for each of ", ranks, " ranks"),
               concat(files.size()));
    std::vector<locmoe::routing> all;
    const auto add = [&](const expert_ids& read, std::size_t first, std::size_t tokens) {
        locmoe::routing one;
        one.token_count = tokens;
        one.choice_count = read.shape.back();
        const auto begin = read.ids.begin() + static_cast<std::ptrdiff_t>(first * one.choice_count);
        one.chosen.assign(begin, begin + static_cast<std::ptrdiff_t>(tokens * one.choice_count));
        one.weights.assign(one.chosen.size(), 1.0f / static_cast<float>(one.choice_count));
        all.push_back(std::move(one));
    };
    for (const std::string& file : files) {
        const expert_ids read = read_ids(file);
        const bool by_rank = read.shape.size() == 3;
        if (by_rank && (files.size() > 1 || read.shape[0] != ranks))
            refuse(file,
                   files.size() > 1 ? "[T, k] of one rank"
                                    : concat("[P, T, k] of P = ", ranks, " ranks"),
                   shape_text(read.shape));
        if (!all.empty() && read.shape.back() != all[0].choice_count)
            refuse(file, concat("k = ", all[0].choice_count, ", as in ", files[0]),
                   concat(read.shape.back()));
        const std::size_t tokens = read.shape[read.shape.size() - 2];
        if (files.size() > 1)
            add(read, 0, tokens);
        else
            for (std::size_t r = 0; r < ranks; ++r) {
                const std::size_t first = by_rank ? r * tokens : r * tokens / ranks;
                const std::size_t end = by_rank ? first + tokens : (r + 1) * tokens / ranks;
                add(read, first, end - first);
            }
    }
    locmoe::expert_id largest = locmoe::no_expert;
    for (const locmoe::routing& one : all)
        for (const locmoe::expert_id e : one.chosen) largest = e > largest ? e : largest;
    const auto least = static_cast<std::size_t>(largest + 1);
    if (experts != 0 && experts < least)
        refuse("--experts", concat("at least ", least, ", for the routing names expert ", largest),
               concat(experts));
    for (locmoe::routing& one : all)
        one.expert_count = experts != 0 ? experts : least > 0 ? least : 1;
    return all;
}

/// k different experts for each token, drawn one after another with odds i^-exponent, i from 1 in
/// an order of the experts that the seed gives: 0 is uniform. The same on all ranks.
inline std::vector<locmoe::routing> draw_routings(std::size_t ranks, std::size_t tokens,
                                                  std::size_t choices, std::size_t experts,
                                                  double exponent, std::uint64_t seed) {
    std::vector<std::size_t> order(experts);
    const locmoe::detail::token_random shuffle(seed, 1, 0);
    for (std::size_t i = 0; i < experts; ++i) {
        const std::size_t j = shuffle.below(i + 1, i);
        order[i] = order[j];
        order[j] = i;
    }
    std::vector<double> odds(experts), first(experts + 1, 0);  // of `order`, and their sums
    for (std::size_t i = 0; i < experts; ++i) {
        odds[i] = std::pow(static_cast<double>(i + 1), -exponent);
        first[i + 1] = first[i] + odds[i];
    }
    std::vector<locmoe::routing> all(ranks);
    std::vector<std::size_t> drawn(choices);  // ascending
    for (std::size_t r = 0; r < ranks; ++r) {
        locmoe::routing& one = all[r];
        one.token_count = tokens;
        one.choice_count = choices;
        one.expert_count = experts;
        one.weights.assign(tokens * choices, 1.0f / static_cast<float>(choices));
        for (std::size_t t = 0; t < tokens; ++t) {
            const locmoe::detail::token_random random(seed, 0, r * tokens + t);
            double left = first[experts];
            for (std::size_t s = 0; s < choices; ++s) {
                // A point of what is left, moved past the pieces that are gone.
                double point = left * random.uniform(s);
                for (std::size_t d = 0; d < s && point >= first[drawn[d]]; ++d)
                    point += odds[drawn[d]];
                std::size_t low = 0, high = experts - 1;
                while (low < high) {
                    const std::size_t middle = (low + high + 1) / 2;
                    if (first[middle] <= point)
                        low = middle;
                    else
                        high = middle - 1;
                }
                const auto gone = [&](std::size_t i) {
                    for (std::size_t d = 0; d < s; ++d)
                        if (drawn[d] == i) return true;
                    return false;
                };
                while (gone(low)) low = (low + 1) % experts;  // rounding alone leads here
                std::size_t at = s;
                for (; at > 0 && drawn[at - 1] > low; --at) drawn[at] = drawn[at - 1];
                drawn[at] = low;
                left -= odds[low];
                one.chosen.push_back(static_cast<locmoe::expert_id>(order[low]));
            }
        }
    }
    return all;
}

}  // namespace plan_program
