#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// How a known codebase turns a capacity factor into slots per expert, to its own rounding: the
/// same operations in the same order and precision, so that a team that moves over gets the same
/// number. `capacity_from_factor` is ours. T, k and n are the demand's; whose tokens T counts (one
/// rank's, all ranks') is the caller's to follow, as each rule says.
class capacity_rule {
  public:
    /// k int(factor ceil(T / n)), then up to a multiple of `alignment`, over one rank's tokens.
    /// Factor 0: the largest load; below 0: the lesser of the largest load and the rule for
    /// -factor.
    static capacity_rule tutel(double factor, std::int64_t alignment = 1) {
        if (alignment < 1)
            detail::throw_argument("capacity_rule::tutel", "alignment", "at least 1",
                                   detail::concat(alignment));
        return capacity_rule(kind::tutel, "tutel", factor, alignment);
    }

    /// ceil(factor k T / n) in single precision, at least `least`: 4 by the layer's default, 8 by
    /// the gate functions'. Over one rank's tokens.
    static capacity_rule deepspeed(double factor, std::int64_t least = 4) {
        return capacity_rule(kind::deepspeed, "deepspeed", not_negative("deepspeed", factor),
                             count("deepspeed", least));
    }

    /// ceil(k T / n factor), over one rank's tokens.
    static capacity_rule megatron(double factor) {
        return capacity_rule(kind::megatron, "megatron", not_negative("megatron", factor), 0);
    }

    /// int(factor k T / n), over all ranks' tokens.
    static capacity_rule megablocks(double factor) {
        return capacity_rule(kind::megablocks, "megablocks", not_negative("megablocks", factor), 0);
    }

    /// round(factor T / n), halves to even, k left out, at least `least`. Over one group's tokens.
    static capacity_rule flaxformer(double factor, std::int64_t least = 4) {
        return capacity_rule(kind::flaxformer, "flaxformer", not_negative("flaxformer", factor),
                             count("flaxformer", least));
    }

    /// 2 ceil(T / n), factor and k left out: torchscale's top-2 gate in training, and NLLB's.
    static capacity_rule torchscale() {
        return capacity_rule(kind::torchscale, "torchscale", 0, 0);
    }

    /// ceil(fraction T), whatever k and n: torchscale's and NLLB's evaluation.
    static capacity_rule torchscale_eval(double fraction = 0.25) {
        return capacity_rule(kind::fraction, "torchscale_eval",
                             not_negative("torchscale_eval", fraction), 0);
    }

    /// As many slots as said, as HF's Switch has it.
    static capacity_rule fixed(std::int64_t slots) {
        return capacity_rule(kind::fixed, "fixed", 0, count("fixed", slots));
    }

    const char* name() const noexcept { return name_; }  ///< of the function that makes it

    /// Slots of one expert. `largest_load` is the most pairs that any expert was chosen by, over
    /// all ranks that share the result; only Tutel's rule with a factor of 0 or less asks. Throws
    /// argument_error where it is missing or negative then, n is 0, or the slots do not fit
    /// std::int64_t.
    std::int64_t slots(const capacity_demand& demand,
                       std::optional<std::int64_t> largest_load = std::nullopt) const {
        using detail::concat;
        if (demand.expert_count == 0)
            detail::throw_argument("capacity_rule", "expert_count", "at least 1", "0");
        const auto tokens = static_cast<double>(demand.token_count);
        const auto experts = static_cast<double>(demand.expert_count);
        const auto choices = static_cast<double>(demand.choice_count);
        const double each = static_cast<double>(demand.token_count / demand.expert_count +
                                                (demand.token_count % demand.expert_count != 0));
        switch (kind_) {
            case kind::tutel: {
                const auto by_factor = [&](double f) {
                    return whole(choices * std::trunc(f * each));
                };
                std::int64_t c = 0;
                if (factor_ > 0) {
                    c = by_factor(factor_);
                } else {
                    if (!largest_load || *largest_load < 0)
                        detail::throw_argument("capacity_rule", "largest_load",
                                               "a count, for Tutel's factor of 0 or less",
                                               largest_load ? concat(*largest_load) : "none");
                    c = *largest_load;
                    if (factor_ < 0 && by_factor(-factor_) < c) c = by_factor(-factor_);
                }
                const std::int64_t more = c % count_ == 0 ? 0 : count_ - c % count_;
                if (more > std::numeric_limits<std::int64_t>::max() - c)
                    detail::throw_argument("capacity_rule", "alignment",
                                           "slots that fit std::int64_t", concat(count_));
                return c + more;
            }
            case kind::deepspeed: {
                const float share = static_cast<float>(tokens / experts);
                const std::int64_t c = whole(
                    static_cast<double>(std::ceil(share * static_cast<float>(factor_ * choices))));
                return c < count_ ? count_ : c;
            }
            case kind::megatron: return whole(std::ceil(tokens * choices / experts * factor_));
            case kind::megablocks: return whole(std::trunc(factor_ * (choices * tokens / experts)));
            case kind::flaxformer: {
                const std::int64_t c = whole(std::nearbyint(factor_ * tokens / experts));
                return c < count_ ? count_ : c;
            }
            case kind::torchscale: return whole(2 * each);
            case kind::fraction: return whole(std::ceil(factor_ * tokens));
            case kind::fixed: break;
        }
        return count_;
    }

  private:
    enum class kind : std::uint8_t {
        tutel,
        deepspeed,
        megatron,
        megablocks,
        flaxformer,
        torchscale,
        fraction,
        fixed
    };

    capacity_rule(kind which, const char* name, double factor, std::int64_t count)
        : kind_(which), name_(name), factor_(factor), count_(count) {
        if (!(factor - factor == 0))
            detail::throw_argument(detail::concat("capacity_rule::", name), "factor",
                                   "a finite number", detail::concat(factor));
    }

    static double not_negative(const char* name, double factor) {
        if (factor < 0)
            detail::throw_argument(detail::concat("capacity_rule::", name), "factor",
                                   "a number of at least 0", detail::concat(factor));
        return factor;
    }

    static std::int64_t count(const char* name, std::int64_t slots) {
        if (slots < 0)
            detail::throw_argument(detail::concat("capacity_rule::", name), "slots",
                                   "a count of at least 0", detail::concat(slots));
        return slots;
    }

    static std::int64_t whole(double slots) {
        if (!(slots < 0x1p62))
            detail::throw_argument("capacity_rule", "factor", "slots that fit std::int64_t",
                                   detail::concat(slots, " slots"));
        return static_cast<std::int64_t>(slots);
    }

    kind kind_;
    const char* name_;
    double factor_;
    std::int64_t count_;  // the least, the alignment or the fixed number of slots
};

}  // namespace locmoe
