#pragma once

#include "locmoe/capacity/success_rates.hpp"

namespace locmoe::inline v0 {

/// The mix of Expert-Token Resonance as training goes on: token choice early, expert choice after
/// it once the success rates are certain that this serves more right tokens. Where they are not,
/// what was done `so_far` goes on, so that a router between the bounds does not flip with each
/// batch. Throws as token_choice_success does.
inline bool experts_choose(const choice_odds& odds, bool so_far) {
    switch (better_choice(odds)) {
        case choosing::tokens: return false;
        case choosing::experts: return true;
        case choosing::undecided: break;
    }
    return so_far;
}

}  // namespace locmoe
