#pragma once

// Random small jobs for RapidCheck, which shrink number by number.

#include <cstddef>
#include <cstdint>
#include <vector>

#include <catch2/catch.hpp>
#include <rapidcheck.h>
#include <rapidcheck/catch.h>

#include "small_job.hpp"

namespace rc {

template <>
struct Arbitrary<small_job::numbers> {
    static Gen<small_job::numbers> arbitrary() {
        using bytes = std::vector<std::uint8_t>;
        const auto up_to = [](int highest) {  // as likely in the first case as in the last
            const auto end = static_cast<std::uint8_t>(highest + 1);
            return gen::resize(kNominalSize, gen::inRange<std::uint8_t>(0, end));
        };
        const auto list = [&](double length, int highest) {
            return gen::scale(length, gen::container<bytes>(up_to(highest)));
        };
        using n = small_job::numbers;
        return gen::build<n>(
            gen::set(&n::nodes, list(0.08, 3)), gen::set(&n::experts, list(0.12, 8)),
            gen::set(&n::chosen,
                     gen::scale(0.08, gen::container<std::vector<bytes>>(list(5.0, 12)))),
            gen::set(&n::choices, up_to(3)),
            gen::set(&n::capacity, gen::oneOf(gen::just(std::uint8_t{0}), up_to(11))),
            gen::set(&n::group_size, up_to(3)),
            gen::set(&n::strategy, up_to(3 * small_job::strategy_count - 1)),
            gen::set(&n::order, gen::oneOf(gen::just(std::uint8_t{0}), up_to(4))));
    }
};

}  // namespace rc
