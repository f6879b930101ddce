#include "locmoe/exec/parallel_kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/exec/thread_team.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

constexpr std::size_t cols = 600, source_rows = 300, target_rows = 400;  // several ranges of 64 KiB

std::vector<float> numbers(std::size_t count, std::uint32_t seed) {
    random_cases::generator g(seed);
    std::vector<float> out(count);
    for (float& x : out) x = static_cast<float>(g.up_to(1000)) * 0.001f;
    return out;
}

/// All four kernels' results, one after the other.
template <class Kernels>
std::vector<float> all(const Kernels& kernels) {
    auto x = numbers(source_rows * cols, 1), y = numbers(source_rows * cols, 2);
    const auto weights = numbers(source_rows, 3);
    const auto in = as_token_rows(matrix_view<const float>(x.data(), source_rows, cols));
    const auto other = as_token_rows(matrix_view<const float>(y.data(), source_rows, cols));
    random_cases::generator g(4);
    row_sums copies, sums;
    sums.first.push_back(0);
    for (std::size_t i = 0; i < target_rows + 7; ++i) {
        copies.from.push_back(static_cast<row_index>(g.up_to(source_rows - 1)));
        for (std::size_t s = g.up_to(3); s > 0; --s)
            sums.from.push_back(static_cast<row_index>(g.up_to(source_rows - 1)));
        sums.first.push_back(static_cast<row_index>(sums.from.size()));
    }
    std::vector<float> result, rows(target_rows * cols), dots(source_rows);
    const auto to = as_token_rows(matrix_view<float>(rows.data(), target_rows, cols));
    const auto keep = [&](const std::vector<float>& part) {
        result.insert(result.end(), part.begin(), part.end());
    };
    kernels.gather({in, {}}, copies, {5, 5 + target_rows}, to);
    keep(rows);
    kernels.sum({in, {}}, sums, {5, 5 + target_rows}, std::span<const float>(weights), to);
    keep(rows);
    kernels.dot(in, other, std::span<float>(dots));
    keep(dots);
    kernels.scale(other, std::span<const float>(weights),
                  as_token_rows(matrix_view<float>(y.data(), source_rows, cols)));
    keep(y);
    return result;
}

}  // namespace

TEST_CASE("row kernels over several threads give the bits of one", "[exec]") {
    const auto alone = all(host_kernels{});
    for (const std::size_t width : {1u, 2u, 3u}) {
        thread_team team(width);
        const bool same = all(parallel_kernels(team)) == alone;  // too many to print
        CHECK(same);
    }
}
