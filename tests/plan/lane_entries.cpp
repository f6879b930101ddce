#include "locmoe/plan/detail/lane_entries.hpp"

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include "catch.hpp"

using namespace locmoe;

namespace {

using fields = std::tuple<row_index, row_index, std::uint32_t>;

/// Numbers that use every bit of an entry.
fields nth(std::size_t i) {
    const std::uint64_t bits = (i + 1) * 0x9e3779b97f4a7c15u;
    return {static_cast<row_index>(bits >> 16),
            static_cast<row_index>((bits * 0x2545f4914f6cdd1du) >> 16),
            static_cast<std::uint32_t>(bits * 31 >> 32)};
}

}  // namespace

TEST_CASE("entries of a lane come back as they were put in through all sizes of chunks", "[plan]") {
    detail::lane_entries lane;
    for (const std::size_t count : {0u, 1u, 64u, 65u, 128u, 5000u}) {
        for (std::size_t i = 0; i < count; ++i) {
            const auto [row, pair, word] = nth(i);
            lane.push(row, pair, word);
        }
        CHECK(lane.size() == count);
        CHECK(lane.empty() == (count == 0));
        std::size_t i = 0;
        bool same = true;
        lane.for_each([&](const detail::lane_entry& e) {
            same = same && fields(e.row(), e.pair(), e.word()) == nth(i++);
        });
        CHECK(same);
        CHECK(i == count);
        lane.clear();
        CHECK(lane.size() == 0);
        CHECK(lane.empty());
    }
}
