#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// Which of a token's k choices the load of a balancing loss counts. The first alone: GShard, and
/// the top-2 gates of Tutel, DeepSpeed and torchscale. All: Megatron, HF's Mixtral, flaxformer.
enum class counted_choices : std::uint8_t {
    all,   ///< every choice, T k of them
    first  ///< slot 0, T of them
};

/// Whether it counts what the tokens chose, as nearly all do, or what found room (FastMoE's
/// Switch).
enum class counted_pairs : std::uint8_t {
    before_drops,  ///< what the tokens chose
    after_drops    ///< what found room
};

/// What a load counts.
struct load_convention {
    counted_choices choices = counted_choices::all;     ///< all of a token's, or the first
    counted_pairs pairs = counted_pairs::before_drops;  ///< what it chose, or what found room
};

/// The load `[n]` of this rank by a named convention; it sums over ranks. A slot without an expert
/// counts for none (HF's Switch counts a dropped token as expert 0's). `kept` is
/// `assignment::expert` `[T, k]`, which only `after_drops` asks for. Throws argument_error where it
/// has another length then, or holds an expert that is none of the n.
template <class Real>
std::vector<std::int64_t> count_load(const load_convention& convention,
                                     const basic_routing<Real>& decided,
                                     std::span<const expert_id> kept = {}) {
    using detail::concat;
    const bool after = convention.pairs == counted_pairs::after_drops;
    const std::span<const expert_id> experts = after ? kept : std::span(decided.chosen);
    const std::size_t k = decided.choice_count;
    if (experts.size() != decided.token_count * k)
        detail::throw_argument("count_load", after ? "kept" : "chosen",
                               concat("T k = ", decided.token_count * k, " experts"),
                               concat(experts.size()));
    const std::size_t counted = convention.choices == counted_choices::first && k > 1 ? 1 : k;
    std::vector<std::int64_t> load(decided.expert_count, 0);
    for (std::size_t t = 0; t < decided.token_count; ++t)
        for (std::size_t slot = 0; slot < counted; ++slot) {
            const expert_id e = experts[t * k + slot];
            if (e == no_expert) continue;
            if (e < 0 || static_cast<std::size_t>(e) >= load.size())
                detail::throw_argument("count_load", concat("expert of token ", t),
                                       concat("0 to n - 1 with n = ", load.size()), concat(e));
            ++load[static_cast<std::size_t>(e)];
        }
    return load;
}

}  // namespace locmoe
