#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "text_data.hpp"

namespace trainer {

/// A smoothed order-2 model of bytes: trigram counts, interpolated with bigrams, unigrams and the
/// uniform distribution by Kneser and Ney's rule with three discounts an order (Chen and Goodman
/// 1998, "modified Kneser-Ney"): the lower orders count in how many contexts a byte was seen, not
/// how often. The strongest of the usual smoothings, so that beating it means something.
class ngram_baseline {
  public:
    static constexpr std::size_t symbols = 256;

    explicit ngram_baseline(const std::vector<text>& training)
        : trigrams_(symbols * symbols * symbols), bigrams_(symbols * symbols), unigrams_(symbols) {
        // The bytes at a text's start have no full context: they count in their own order as seen.
        for (const text& t : training) {
            if (!t.empty()) ++unigrams_[t[0]];
            if (t.size() > 1) ++bigrams_[t[0] * symbols + t[1]];
            for (std::size_t i = 2; i < t.size(); ++i)
                ++trigrams_[(t[i - 2] * symbols + t[i - 1]) * symbols + t[i]];
        }
        for (std::size_t i = 0; i < trigrams_.size(); ++i)
            if (trigrams_[i] > 0) ++bigrams_[i % (symbols * symbols)];
        for (std::size_t i = 0; i < bigrams_.size(); ++i)
            if (bigrams_[i] > 0) ++unigrams_[i % symbols];
        trigram_rule_ = smoothing(trigrams_);
        bigram_rule_ = smoothing(bigrams_);
        unigram_rule_ = smoothing(unigrams_);
    }

    /// P(byte | the two before it); the contexts of fewer bytes at a text's start.
    double probability(std::uint8_t byte) const {
        return unigram_rule_.apply(unigrams_, 0, byte, 1.0 / symbols);
    }
    double probability(std::uint8_t previous, std::uint8_t byte) const {
        return bigram_rule_.apply(bigrams_, previous, byte, probability(byte));
    }
    double probability(std::uint8_t before, std::uint8_t previous, std::uint8_t byte) const {
        return trigram_rule_.apply(trigrams_, before * symbols + previous, byte,
                                   probability(previous, byte));
    }

    /// The mean of -log2 P over all bytes of all texts.
    double bits_per_byte(const std::vector<text>& held_out) const {
        double bits = 0;
        std::size_t bytes = 0;
        for (const text& t : held_out)
            for (std::size_t i = 0; i < t.size(); ++i, ++bytes)
                bits -= std::log2(i == 0   ? probability(t[0])
                                  : i == 1 ? probability(t[0], t[1])
                                           : probability(t[i - 2], t[i - 1], t[i]));
        return bytes == 0 ? 0 : bits / static_cast<double>(bytes);
    }

  private:
    using counts = std::vector<std::uint32_t>;

    // What one order takes off its counts of 1, 2 and more, and, for each context, the sum of the
    // counts and the mass that was taken off.
    struct rule {
        double discount[3] = {};
        std::vector<double> total, freed;

        double apply(const counts& seen, std::size_t context, std::size_t byte,
                     double lower) const {
            if (total[context] == 0) return lower;
            const std::uint32_t c = seen[context * symbols + byte];
            const double kept = c == 0 ? 0 : c - discount[c < 3 ? c - 1 : 2];
            return (kept + freed[context] * lower) / total[context];
        }
    };

    static rule smoothing(const counts& seen) {
        double of_count[5] = {};
        for (const std::uint32_t c : seen)
            if (c >= 1 && c <= 4) ++of_count[c];
        rule r;
        const double y =
            of_count[1] + of_count[2] > 0 ? of_count[1] / (of_count[1] + 2 * of_count[2]) : 0.5;
        for (std::size_t c = 1; c <= 3; ++c) {
            const double n = of_count[c], next = of_count[c + 1];
            const double d =
                n > 0 ? static_cast<double>(c) - static_cast<double>(c + 1) * y * next / n : 0.5;
            r.discount[c - 1] = d > 0 && d < static_cast<double>(c) ? d : 0.5;
        }
        const std::size_t contexts = seen.size() / symbols;
        r.total.assign(contexts, 0);
        r.freed.assign(contexts, 0);
        for (std::size_t i = 0; i < seen.size(); ++i) {
            if (seen[i] == 0) continue;
            r.total[i / symbols] += seen[i];
            r.freed[i / symbols] += r.discount[seen[i] < 3 ? seen[i] - 1 : 2];
        }
        return r;
    }

    counts trigrams_, bigrams_, unigrams_;  // [context * 256 + byte]
    rule trigram_rule_, bigram_rule_, unigram_rule_;
};

}  // namespace trainer
