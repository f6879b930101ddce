#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "locmoe/topology/topology.hpp"

#include "batch.hpp"
#include "random.hpp"
#include "text_data.hpp"

namespace trainer {

/// Which rank reads which domains. Each domain has at least one reader and each rank at least one
/// domain; readers of one domain share its held-out text among them.
struct shards {
    std::vector<std::vector<locmoe::rank_id>> readers;  ///< of each domain, ascending

    /// Every rank reads everything.
    static shards shuffled(std::size_t domains, const locmoe::topology& nodes) {
        shards all{std::vector<std::vector<locmoe::rank_id>>(domains)};
        for (auto& readers : all.readers)
            for (std::size_t r = 0; r < nodes.rank_count(); ++r)
                readers.push_back(static_cast<locmoe::rank_id>(r));
        return all;
    }

    /// Each node has domains of its own, neighbours together, and deals them to its ranks. Where
    /// there are fewer domains than nodes, or than ranks of a node, several read the same.
    static shards by_domain(std::size_t domains, const locmoe::topology& nodes) {
        shards all{std::vector<std::vector<locmoe::rank_id>>(domains)};
        const std::size_t node_count = nodes.node_count();
        for (std::size_t v = 0; v < node_count; ++v) {
            const auto ranks = nodes.ranks_of(static_cast<locmoe::node_id>(v));
            const std::size_t first = domains * v / node_count;
            const std::size_t count =
                std::max<std::size_t>(domains * (v + 1) / node_count - first, 1);
            for (std::size_t i = 0; i < std::max(count, ranks.size()); ++i)
                all.readers[first + i % count].push_back(ranks[i % ranks.size()]);
        }
        for (auto& readers : all.readers) std::sort(readers.begin(), readers.end());
        return all;
    }

    bool reads(locmoe::rank_id rank, std::size_t domain) const {
        const auto& who = readers[domain];
        return std::find(who.begin(), who.end(), rank) != who.end();
    }
};

/// Text to train on, and the number of the domain that it is of.
struct training_text {
    text bytes;
    std::int32_t domain = 0;
};

/// What a rank trains on, of the domains that it reads.
inline std::vector<training_text> training_texts(const std::vector<domain>& domains,
                                                 const shards& shared, locmoe::rank_id rank) {
    std::vector<training_text> texts;
    for (std::size_t d = 0; d < domains.size(); ++d)
        if (shared.reads(rank, d))
            for (const text& t : domains[d].training())
                texts.push_back({t, static_cast<std::int32_t>(d)});
    return texts;
}

/// Draws training sequences from one rank's texts: every start is equally likely.
class training_sampler {
  public:
    /// Throws argument_error where no text has more than `length` bytes.
    training_sampler(std::vector<training_text> texts, std::size_t length)
        : texts_(std::move(texts)), length_(length) {
        for (const auto& [t, d] : texts_) starts_ += t.size() > length ? t.size() - length : 0;
        if (starts_ == 0)
            throw locmoe::argument_error("a rank's training text is shorter than one sequence");
    }

    void draw(std::uint64_t seed, std::size_t sequences, batch& to) const {
        generator random(seed);
        to.clear();
        for (std::size_t s = 0; s < sequences; ++s) {
            std::uint64_t start = random.below(starts_);
            for (const auto& [t, d] : texts_) {
                const std::size_t here = t.size() > length_ ? t.size() - length_ : 0;
                if (start < here) {
                    const auto first = t.begin() + static_cast<std::ptrdiff_t>(start);
                    const auto count = static_cast<std::ptrdiff_t>(length_);
                    to.ids.insert(to.ids.end(), first, first + count);
                    to.targets.insert(to.targets.end(), first + 1, first + 1 + count);
                    to.domains.insert(to.domains.end(), length_, d);
                    break;
                }
                start -= here;
            }
        }
    }

  private:
    std::vector<training_text> texts_;
    std::size_t length_;
    std::uint64_t starts_ = 0;
};

}  // namespace trainer
