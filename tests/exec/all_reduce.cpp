#include "locmoe/exec/all_reduce.hpp"

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "locmoe/exec/in_process.hpp"

#include "catch.hpp"

using namespace locmoe;

namespace {

/// Numbers of very different size, so that another order of adding shows in the last bits.
template <class Real>
std::vector<Real> values_of(std::size_t rank, std::size_t length) {
    std::mt19937 random(static_cast<unsigned>(31 * rank + 7));
    std::vector<Real> values(length);
    for (Real& v : values) {
        v = static_cast<Real>(random()) / Real{3};
        for (auto halvings = random() % 24; halvings != 0; --halvings)
            v /= Real{-2};
    }
    return values;
}

template <class Real>
std::vector<Real> summed_by_hand(std::size_t ranks, std::size_t length) {
    std::vector<Real> sums = values_of<Real>(0, length);
    for (std::size_t r = 1; r < ranks; ++r) {
        const std::vector<Real> more = values_of<Real>(r, length);
        for (std::size_t i = 0; i < length; ++i)
            sums[i] += more[i];
    }
    return sums;
}

template <class Real>
void check_sums(std::size_t ranks, std::size_t length) {
    std::vector<std::vector<Real>> results(ranks);
    std::vector<std::int64_t> bytes(ranks, 0);
    run_in_process(ranks, [&](in_process_backend& backend) {
        const auto me = static_cast<std::size_t>(backend.rank());
        results[me] = values_of<Real>(me, length);
        all_reduce_sum(backend, std::span(results[me]));
        for (std::size_t r = 0; r < ranks; ++r)
            bytes[me] += backend.sent().bytes_to(static_cast<rank_id>(r));
    });
    const std::vector<Real> expected = summed_by_hand<Real>(ranks, length);
    CAPTURE(ranks, length, sizeof(Real));
    for (const auto& result : results)
        CHECK(result == expected);  // to the bit: no NaN, no zero
    std::int64_t all_bytes = 0;
    for (const std::int64_t b : bytes)
        all_bytes += b;
    CHECK(all_bytes == static_cast<std::int64_t>(2 * (ranks - 1) * length * sizeof(Real)));
}

}  // namespace

TEST_CASE("sums over ranks have the bits of adding in ascending order", "[exec][all_reduce]") {
    for (const std::size_t ranks : {1u, 2u, 3u, 4u, 5u, 8u})
        for (const std::size_t length : {0u, 1u, 2u, 3u, 7u, 8u, 64u, 1001u}) {
            check_sums<float>(ranks, length);
            check_sums<double>(ranks, length);
        }
}

TEST_CASE("another order of adding would be seen", "[exec][all_reduce]") {
    const std::vector<float> ascending = summed_by_hand<float>(5, 1001);
    std::vector<float> descending = values_of<float>(4, 1001);
    for (std::size_t r = 4; r-- > 0;)
        for (std::size_t i = 0; i < 1001; ++i)
            descending[i] += values_of<float>(r, 1001)[i];
    CHECK(ascending != descending);
}

TEST_CASE("different lengths are an error on every rank", "[exec][all_reduce]") {
    const std::size_t ranks = 4;
    for (const auto& lengths : {std::vector<std::size_t>{3, 3, 3, 4}, {0, 2, 1, 1}, {1, 2, 3, 2}}) {
        std::vector<std::string> told(ranks);
        CHECK_THROWS_AS(run_in_process(ranks,
                                       [&](in_process_backend& backend) {
                                           const auto me = static_cast<std::size_t>(backend.rank());
                                           std::vector<double> values(lengths[me], 1.0);
                                           try {
                                               all_reduce_sum(backend, std::span(values));
                                           } catch (const plan_error& e) {
                                               told[me] = e.what();
                                               throw;
                                           }
                                       }),
                        plan_error);
        for (const std::string& words : told) {
            CHECK(words == told[0]);
            CHECK(words.find("another number of values than the others") != std::string::npos);
        }
    }
}
