#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include "locmoe/capacity/adaptive_capacity.hpp"
#include "locmoe/capacity/capacity_schedule.hpp"
#include "locmoe/capacity/drop_rate_capacity.hpp"
#include "locmoe/capacity/locmoe_capacity.hpp"

namespace trainer {

/// Any of the schedules, itself one.
class any_capacity {
  public:
    using schedule =
        std::variant<locmoe::fixed_capacity, locmoe::unlimited_capacity, locmoe::locmoe_capacity,
                     locmoe::adaptive_capacity, locmoe::drop_rate_capacity>;

    any_capacity() : which_(locmoe::fixed_capacity(1.25)) {}
    any_capacity(schedule which) : which_(std::move(which)) {}

    std::optional<std::int64_t> capacity(const locmoe::capacity_demand& demand) const {
        return std::visit([&](const auto& s) { return s.capacity(demand); }, which_);
    }
    bool wants_delta() const {
        return std::visit([](const auto& s) { return s.wants_delta(); }, which_);
    }
    void observe(const locmoe::capacity_observation& seen) {
        std::visit([&](auto& s) { s.observe(seen); }, which_);
    }

    const schedule& which() const { return which_; }

  private:
    schedule which_;
};

static_assert(locmoe::capacity_schedule<any_capacity>);

/// The schedule that `--capacity` names: factor:F, locmoe, adaptive, drop-rate:R or none. Throws
/// std::invalid_argument for anything else, naming the option and what it takes.
inline any_capacity parse_capacity(const std::string& spec, std::size_t hidden_size) {
    const auto wrong = [&](const std::string& expected) {
        throw std::invalid_argument("--capacity: expected " + expected + ", got \"" + spec + '"');
    };
    const std::size_t colon = spec.find(':');
    const std::string name = spec.substr(0, colon);
    const auto number = [&](const char* expected, double least, double most) {
        if (colon != std::string::npos) {
            const std::string digits = spec.substr(colon + 1);
            std::size_t used = 0;
            double value = 0;
            try {
                value = std::stod(digits, &used);
            } catch (const std::logic_error&) {  // no number, or one that no double holds
                used = 0;
            }
            if (used != 0 && used == digits.size() && value >= least && value <= most) return value;
        }
        wrong(expected);
        return 0.0;
    };
    if (name == "factor") {
        const double factor = number("factor:F with F above 0, at most 1e6", 1e-6, 1e6);
        return {locmoe::fixed_capacity(factor)};
    }
    if (name == "drop-rate") {
        const double rate = number("drop-rate:R with R from 0 to 1", 0, 1);
        return {locmoe::drop_rate_capacity({.rate = rate})};
    }
    if (spec == "none") return {locmoe::unlimited_capacity()};
    if (spec == "locmoe") return {locmoe::locmoe_capacity({.hidden_size = hidden_size})};
    if (spec == "adaptive") return {locmoe::adaptive_capacity({.hidden_size = hidden_size})};
    wrong("factor:F, locmoe, adaptive, drop-rate:R or none");
    return {locmoe::unlimited_capacity()};
}

}  // namespace trainer
