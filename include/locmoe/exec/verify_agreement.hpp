#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/plan/message.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// Something that all ranks must hold alike.
struct common_value {
    std::string_view what;    ///< "topology"
    std::uint64_t value = 0;  ///< itself, or a fingerprint
    bool shown = false;       ///< whether the value itself says something in an error
};

/// 64 bits that differ, but for a chance of about 2^-64, where what was added differs (each word
/// mixed as in SplitMix64: Steele, Lea, Flood 2014). Finds faults, not attackers.
class fingerprint {
  public:
    fingerprint() = default;
    /// Of a text.
    explicit fingerprint(std::string_view text) { add(text); }
    /// Of each rank's node.
    explicit fingerprint(const topology& nodes) {
        for (std::size_t r = 0; r < nodes.rank_count(); ++r)
            add(static_cast<std::uint64_t>(nodes.node_of(static_cast<rank_id>(r))));
    }
    /// Of the number of ranks and each expert's rank.
    explicit fingerprint(const expert_placement& placement) {
        add(placement.rank_count());
        for (std::size_t e = 0; e < placement.expert_count(); ++e)
            add(static_cast<std::uint64_t>(placement.rank_of(static_cast<expert_id>(e))));
    }

    /// Mixes one more in; their order counts.
    fingerprint& add(std::uint64_t word) {
        std::uint64_t z = (value_ ^ word) + 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        value_ = z ^ (z >> 31);
        return *this;
    }
    /// The same for each letter, and their number.
    fingerprint& add(std::string_view text) {
        for (const char c : text) add(static_cast<unsigned char>(c));
        return add(text.size());
    }

    /// All that was added, as 64 bits; 0 where nothing was.
    std::uint64_t value() const { return value_; }

  private:
    std::uint64_t value_ = 0;
};

namespace detail {

/// Numbers whose sum over all ranks is 0, modulo 2^64, where all hold the same, and most likely is
/// not where they do not: each rank adds a number for itself and takes away that of the next rank,
/// as it would be if that one held the same.
inline std::uint64_t ring_term(std::string_view caller, std::span<const common_value> values,
                               rank_id rank, std::size_t ranks) {
    fingerprint print(caller);
    for (const common_value& v : values) print.add(v.value);
    const auto here = static_cast<std::uint64_t>(rank);
    fingerprint next = print;
    return print.add(here).value() - next.add(here + 1 == ranks ? 0 : here + 1).value();
}

/// Of the texts that are not empty, that of the lowest rank, on all ranks. Collective.
template <exchange_backend Backend>
std::string first_text(Backend& backend, std::string_view text) {
    const auto as_words = [](std::string_view from) {
        return std::vector<std::int64_t>(from.begin(), from.end());
    };
    std::vector<message> messages;
    if (!text.empty()) messages.push_back({0, as_words(text)});
    messages = backend.exchange_messages(std::move(messages));
    if (backend.rank() == 0 && !messages.empty()) {
        const std::vector<std::int64_t> words = std::move(messages[0].words);
        messages.clear();
        for (std::size_t r = 0; r < backend.rank_count(); ++r)
            messages.push_back({static_cast<rank_id>(r), words});
    }
    std::string first;
    for (const message& m : backend.exchange_messages(std::move(messages)))
        for (const std::int64_t c : m.words) first.push_back(static_cast<char>(c));
    return first;
}

/// "rank 3", "ranks 3, 5 and 6"; of many, the first eight.
inline std::string ranks_text(const std::vector<std::size_t>& ranks) {
    std::string text = ranks.size() == 1 ? "rank " : "ranks ";
    const std::size_t named = ranks.size() > 8 ? 8 : ranks.size();
    for (std::size_t i = 0; i < named; ++i)
        text += concat(i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
    if (named < ranks.size()) text += concat(" and ", ranks.size() - named, " more");
    return text;
}

/// Which ranks differ from what most ranks have, or where as many have something else from rank 0;
/// none where all are alike.
template <class Value>
std::vector<std::size_t> odd_ones(const std::vector<Value>& values, std::size_t& usual) {
    std::size_t most = 0;
    for (std::size_t r = 0; r < values.size(); ++r) {
        std::size_t same = 0;
        for (const Value& v : values) same += v == values[r] ? 1u : 0u;
        if (same > most) {
            most = same;
            usual = r;
        }
    }
    std::vector<std::size_t> others;
    for (std::size_t r = 0; r < values.size(); ++r)
        if (values[r] != values[usual]) others.push_back(r);
    return others;
}

/// Throws plan_error with the same words on all ranks where they differ in the caller or in one of
/// the values. Collective, and dear: for when it is known that they do.
template <exchange_backend Backend>
void name_disagreement(Backend& backend, std::string_view caller,
                       std::span<const common_value> values) {
    std::vector<std::int64_t> words(caller.begin(), caller.end());
    words.insert(words.begin(), static_cast<std::int64_t>(caller.size()));
    for (const common_value& v : values) words.push_back(static_cast<std::int64_t>(v.value));
    std::string text;
    const std::vector<message> all = backend.exchange_messages({{0, words}});
    if (backend.rank() == 0) {
        std::vector<std::string> callers;
        for (const message& m : all) {
            std::string& name = callers.emplace_back();
            for (std::int64_t i = 1; i <= m.words[0]; ++i)
                name.push_back(static_cast<char>(m.words[static_cast<std::size_t>(i)]));
        }
        std::size_t usual = 0;
        std::vector<std::size_t> odd = odd_ones(callers, usual);
        if (!odd.empty())
            text = concat("locmoe: ", ranks_text(odd), odd.size() == 1 ? " calls " : " call ",
                          callers[odd[0]], " where the others call ", callers[usual]);
        for (std::size_t i = 0; i < values.size() && text.empty(); ++i) {
            std::vector<std::uint64_t> held;
            for (const message& m : all) {
                const std::size_t at = 1 + caller.size() + i;
                held.push_back(at < m.words.size() ? static_cast<std::uint64_t>(m.words[at]) : 0);
            }
            odd = odd_ones(held, usual);
            if (odd.empty()) continue;
            text = concat("locmoe: ", caller, ": ", ranks_text(odd),
                          odd.size() == 1 ? " holds another " : " hold another ", values[i].what,
                          " than the others");
            if (values[i].shown) text += concat(": ", held[odd[0]], ", expected ", held[usual]);
        }
    }
    text = first_text(backend, text);
    if (!text.empty()) throw plan_error(text);
}

}  // namespace detail

/// Throws plan_error on every rank, with the same words, unless all ranks hold the same values; the
/// words name the ranks that differ from most and what they differ in. `caller` stands in the words
/// and must be the same too. Collective: one `agree` where all is well.
///
///     verify_agreement(backend, "train", {{"topology", fingerprint(nodes).value()},
///                                         {"batch size", tokens, true}});
template <exchange_backend Backend>
void verify_agreement(Backend& backend, std::string_view caller,
                      std::span<const common_value> values) {
    if (backend.agree("", detail::ring_term(caller, values, backend.rank(),
                                            backend.rank_count())) != 0)
        detail::name_disagreement(backend, caller, values);
}

/// The same for values in braces.
template <exchange_backend Backend>
void verify_agreement(Backend& backend, std::string_view caller,
                      std::initializer_list<common_value> values) {
    verify_agreement(backend, caller, std::span(values.begin(), values.size()));
}

}  // namespace locmoe
