#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/capacity/capacity_schedule.hpp"
#include "locmoe/capacity/delta_sketch.hpp"
#include "locmoe/capacity/drop_rate.hpp"
#include "locmoe/capacity/exact_capacity.hpp"
#include "locmoe/capacity/exact_discriminative_capacity.hpp"
#include "locmoe/capacity/exact_isotropy.hpp"
#include "locmoe/capacity/exact_largest_delta.hpp"
#include "locmoe/core/error.hpp"

// Asks for Boost.Math's headers, so locmoe.hpp leaves it out.

namespace locmoe::inline v0 {

/// What a step was: everything that a report is made from, of all ranks where the capacity is an
/// expert's over all ranks.
struct capacity_step {
    std::size_t hidden_size = 0;                          ///< d, at least 2
    capacity_demand demand = {};                          ///< T, k, n
    std::optional<std::int64_t> capacity = std::nullopt;  ///< slots in use; none: dropless
    std::span<const std::int64_t> load = {};              ///< [n], choices before any drop
    delta_sketch delta = {};                              ///< at least one pair
    sphere_caps caps = sphere_caps::both;                 ///< which tokens belong to an expert
    std::optional<isotropy_test> isotropy = std::nullopt;  ///< none: not tested
    double rival_factor = 1.25;  ///< capacity factor to compare with, finite and above 0
    std::size_t row_bytes = 0;  ///< of one token row on the wire
    double row_flops = 0;       ///< what an expert spends on one row, forwards
};

/// What a capacity does to a step's choices.
struct capacity_effect {
    std::optional<std::int64_t> capacity = std::nullopt;  ///< none: dropless
    double factor = 0;  ///< slots over the even share k T / n; 0 where dropless
    std::int64_t kept = 0;     ///< pairs that get a slot
    std::int64_t dropped = 0;  ///< pairs that get none
    std::int64_t padded =
        0;  ///< rows where every expert's slots travel and are computed, filled or not

    /// Dropped pairs over all pairs; 0 where there are none.
    double drop_fraction() const {
        return kept + dropped == 0
                   ? 0
                   : static_cast<double>(dropped) / static_cast<double>(kept + dropped);
    }
};

/// Bytes of dispatch and combine and FLOPs of the experts, forwards, that the capacity in use
/// spends less than its rival; below 0 where it spends more. A backward pass saves as many bytes
/// again, and twice the FLOPs.
struct capacity_savings {
    double bytes = 0;  ///< of rows, out and back
    double flops = 0;  ///< of the experts
};

/// What the theorem says to a step, what the capacity in use did to it, and what that saved.
struct capacity_report {
    std::size_t hidden_size = 0;           ///< d
    capacity_demand demand;                ///< T, k, n of the step
    sphere_caps caps = sphere_caps::both;  ///< which tokens belong to an expert

    std::int64_t pair_count = 0;     ///< with a measured angle
    std::int64_t skipped_count = 0;  ///< without
    double mean_delta = 0;           ///< the bounds below are at this
    double median_delta = 0;         ///< the 50 % quantile of |cos|
    double q99_delta = 0;            ///< the 99 % quantile
    double greatest_delta = 0;       ///< the greatest, off by 1 % at most

    least_capacity exact;                 ///< by `least_capacity_exact`
    least_capacity erfc;                  ///< by `least_capacity_erfc`
    least_capacity exponential;           ///< by `least_capacity_exponential`
    std::int64_t slots_to_see_one = 0;    ///< so that 99 % of batches hold a discriminative token
    std::optional<double> largest_delta;  ///< that the capacity in use supports, exact form

    capacity_effect used;           ///< with the capacity in use
    capacity_effect rival;          ///< with the rival's factor
    capacity_savings saved;         ///< where only kept rows travel
    capacity_savings saved_padded;  ///< where all slots do
    std::optional<isotropy_test> isotropy;  ///< the step's; none: not tested
};

namespace detail {

inline capacity_effect effect_of(const capacity_step& step, std::optional<std::int64_t> capacity) {
    capacity_effect e;
    e.capacity = capacity;
    std::int64_t all = 0;
    std::int64_t most = 0;
    for (const std::int64_t l : step.load) {
        all += l;
        most = l > most ? l : most;
    }
    const double share = even_share(step.demand);
    if (capacity && share > 0) e.factor = static_cast<double>(*capacity) / share;
    e.dropped = capacity ? dropped_of(step.load, *capacity) : 0;
    e.kept = all - e.dropped;
    e.padded = static_cast<std::int64_t>(step.load.size()) * (capacity ? *capacity : most);
    return e;
}

}  // namespace detail

/// Throws argument_error where d < 2, n is zero or no load of n counts is given, a load, the
/// capacity or row_flops is negative, the rival's factor is not finite and above 0, or no angle was
/// measured.
inline capacity_report make_capacity_report(const capacity_step& step) {
    using detail::concat;
    const char* function = "make_capacity_report";
    detail::check_load(function, step.load);
    if (step.load.size() != step.demand.expert_count)
        detail::throw_argument(function, "load",
                               concat("n = ", step.demand.expert_count, " counts"),
                               concat(step.load.size()));
    if (step.capacity && *step.capacity < 0)
        detail::throw_argument(function, "capacity", "at least 0", concat(*step.capacity));
    if (!(step.row_flops >= 0))
        detail::throw_argument(function, "row_flops", "at least 0", concat(step.row_flops));
    if (step.delta.count() == 0)
        detail::throw_argument(function, "delta", "at least one measured pair", "none");
    detail::check_factor(function, "rival_factor", step.rival_factor);

    capacity_report r;
    r.hidden_size = step.hidden_size;
    r.demand = step.demand;
    r.caps = step.caps;
    r.pair_count = step.delta.count();
    r.skipped_count = step.delta.skipped_count();
    r.mean_delta = step.delta.mean();
    r.median_delta = step.delta.quantile(0.5);
    r.q99_delta = step.delta.quantile(0.99);
    r.greatest_delta = step.delta.quantile(1);

    const std::size_t n = step.demand.expert_count;
    const token_angle angle{step.hidden_size, r.mean_delta, step.caps};
    r.exact = least_capacity_exact(angle, n);
    r.erfc = least_capacity_erfc(angle, n);
    r.exponential = least_capacity_exponential(angle, n);
    const double share = discriminative_share(angle, n);
    r.slots_to_see_one = share > 0 ? capacity_to_see({.share = share}) : std::int64_t{1} << 53;

    r.used = detail::effect_of(step, step.capacity);
    r.rival = detail::effect_of(step, detail::slots_from_factor(step.rival_factor, step.demand));
    const double least = (step.caps == sphere_caps::both ? 1 : 2) / static_cast<double>(n);
    if (step.capacity && static_cast<double>(*step.capacity) >= least)
        r.largest_delta = largest_delta_exact(
            {static_cast<double>(*step.capacity), step.hidden_size, n, step.caps});
    const auto savings = [&](std::int64_t rows) {
        const double saved = static_cast<double>(rows);
        return capacity_savings{2 * saved * static_cast<double>(step.row_bytes),
                                saved * step.row_flops};
    };
    r.saved = savings(r.rival.kept - r.used.kept);
    r.saved_padded = savings(r.rival.padded - r.used.padded);
    r.isotropy = step.isotropy;
    return r;
}

namespace detail {

inline std::string short_number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

/// JSON has no infinity and no NaN.
inline std::string json_number(double value) {
    if (!(value - value == 0)) return "null";
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
}

inline std::string percent(double share) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
    return text;
}

/// A power of ten where the number has left what anybody would allocate.
inline std::string short_slots(const least_capacity& bound) {
    const double decades = bound.log_slots / 2.302585092994045684;
    return decades < 12 ? short_number(bound.value()) : concat("10^", std::lround(decades));
}

inline std::string text_of(std::string_view name, const capacity_effect& e) {
    const std::string slots =
        e.capacity ? concat(*e.capacity, " slots, factor ", short_number(e.factor)) : "dropless";
    return concat("  ", name, ": ", slots, "; ", e.kept, " choices kept, ", e.dropped, " dropped (",
                  percent(e.drop_fraction()), ")\n");
}

inline std::string json(const least_capacity& bound) {
    return concat(R"({"log_slots": )", json_number(bound.log_slots), R"(, "slots": )",
                  json_number(bound.value()), "}");
}

inline std::string json(const capacity_effect& e) {
    return concat(R"({"capacity": )", e.capacity ? concat(*e.capacity) : "null", R"(, "factor": )",
                  e.capacity ? json_number(e.factor) : "null", R"(, "kept": )", e.kept,
                  R"(, "dropped": )", e.dropped, R"(, "drop_fraction": )",
                  json_number(e.drop_fraction()), R"(, "padded_rows": )", e.padded, "}");
}

inline std::string json(const capacity_savings& s) {
    return concat(R"({"bytes": )", json_number(s.bytes), R"(, "flops": )", json_number(s.flops),
                  "}");
}

inline std::string json(const std::optional<isotropy_test>& t) {
    if (!t) return "null";
    return concat(R"({"isotropic": )", t->isotropic() ? "true" : "false", R"(, "level": )",
                  json_number(t->level), R"(, "tokens": )", t->token_count,
                  R"(, "mean_direction_p": )", json_number(t->mean_direction_p), R"(, "axes_p": )",
                  json_number(t->axes_p), R"(, "effective_dimensions": )",
                  json_number(t->effective_dimensions), "}");
}

}  // namespace detail

/// Whether the theorem's assumption holds for these tokens, in one sentence.
inline std::string isotropy_verdict(const capacity_report& report) {
    using detail::concat;
    using detail::short_number;
    if (!report.isotropy) return "isotropy was not tested: take the bound as a guide.";
    const isotropy_test& t = *report.isotropy;
    const std::string numbers =
        concat("p = ", short_number(t.mean_direction_p), " for a shared direction, ",
               short_number(t.axes_p), " for preferred axes, ", t.token_count, " tokens");
    if (t.isotropic()) return concat("nothing speaks against isotropic tokens (", numbers, ").");
    return concat("the tokens are NOT isotropic (", numbers, "): the theorem's assumption fails, ",
                  "and the bound is no bound. They spread as isotropic ones would in ",
                  short_number(t.effective_dimensions), " of the ", report.hidden_size,
                  " dimensions.");
}

/// The report for a person.
inline std::string to_text(const capacity_report& r) {
    using detail::concat;
    using detail::short_number;
    using detail::short_slots;
    using detail::text_of;
    std::string text =
        concat("capacity of ", r.demand.expert_count, " experts, d = ", r.hidden_size, ", ",
               r.demand.token_count, " tokens, top-", r.demand.choice_count, "\n  |cos|: mean ",
               short_number(r.mean_delta), ", median ", short_number(r.median_delta), ", 99 % ",
               short_number(r.q99_delta), ", greatest ", short_number(r.greatest_delta), "; ",
               r.pair_count, " pairs measured, ", r.skipped_count, " without an angle\n");
    text += concat("  least capacity at the mean, ",
                   r.caps == sphere_caps::both ? "both caps" : "one cap", ": exact ",
                   short_slots(r.exact), " slots, erfc ", short_slots(r.erfc), ", exponential ",
                   short_slots(r.exponential), "\n");
    text += concat(
        "  to see one discriminative token in 99 % of batches: ",
        r.slots_to_see_one < (std::int64_t{1} << 53) ? concat(r.slots_to_see_one) : "2^53 or more",
        " slots\n");
    if (r.largest_delta)
        text +=
            concat("  the slots in use support |cos| up to ", short_number(*r.largest_delta), "\n");
    text += text_of("in use", r.used);
    text += text_of("rival", r.rival);
    const auto saved = [](const char* rows, const capacity_savings& s) {
        return concat("  saved against the rival, ", rows, ": ", short_number(s.bytes), " bytes, ",
                      short_number(s.flops), " FLOPs forwards\n");
    };
    text += saved("kept rows alone", r.saved);
    text += saved("slots padded", r.saved_padded);
    return text + "  " + isotropy_verdict(r) + "\n";
}

/// The report for a program, one object; what is not finite or not there is null.
inline std::string to_json(const capacity_report& r) {
    using detail::concat;
    using detail::json;
    using detail::json_number;
    return concat(
        R"({"hidden_size": )", r.hidden_size, R"(, "expert_count": )", r.demand.expert_count,
        R"(, "token_count": )", r.demand.token_count, R"(, "choice_count": )",
        r.demand.choice_count, R"(, "caps": )", r.caps == sphere_caps::both ? 2 : 1,
        R"(, "delta": {"mean": )", json_number(r.mean_delta), R"(, "median": )",
        json_number(r.median_delta), R"(, "q99": )", json_number(r.q99_delta), R"(, "greatest": )",
        json_number(r.greatest_delta), R"(, "pairs": )", r.pair_count, R"(, "skipped": )",
        r.skipped_count, R"(}, "bound": {"exact": )", json(r.exact), R"(, "erfc": )", json(r.erfc),
        R"(, "exponential": )", json(r.exponential), R"(}, "slots_to_see_one": )",
        r.slots_to_see_one, R"(, "largest_delta": )",
        r.largest_delta ? json_number(*r.largest_delta) : "null", R"(, "used": )", json(r.used),
        R"(, "rival": )", json(r.rival), R"(, "saved": )", json(r.saved), R"(, "saved_padded": )",
        json(r.saved_padded), R"(, "isotropy": )", json(r.isotropy), "}");
}

}  // namespace locmoe
