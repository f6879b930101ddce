#include "locmoe/topology/expert_placement.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"

namespace {

using locmoe::expert_id;
using locmoe::expert_placement;
using locmoe::rank_id;

/// What holds for every placement: each expert stands once, where rank_of says.
void check_laws(const expert_placement& p, std::size_t experts, std::size_t ranks) {
    REQUIRE(p.expert_count() == experts);
    REQUIRE(p.rank_count() == ranks);
    std::vector<int> seen(experts);
    for (rank_id rank = 0; rank < static_cast<rank_id>(ranks); ++rank) {
        const auto held = p.experts_of(rank);
        CHECK(std::is_sorted(held.begin(), held.end()));
        for (std::size_t i = 0; i < held.size(); ++i) {
            CHECK(p.rank_of(held[i]) == rank);
            CHECK(p.local_index(held[i]) == i);
            ++seen[static_cast<std::size_t>(held[i])];
        }
    }
    CHECK(std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }));
}

std::pair<std::size_t, std::size_t> least_and_most_held(const expert_placement& p) {
    std::size_t least = p.expert_count(), most = 0;
    for (rank_id rank = 0; rank < static_cast<rank_id>(p.rank_count()); ++rank) {
        least = std::min(least, p.experts_of(rank).size());
        most = std::max(most, p.experts_of(rank).size());
    }
    return {least, most};
}

template <class Call>
std::string words_of_argument_error(Call call) {
    try {
        call();
    } catch (const locmoe::argument_error& e) {
        return e.what();
    }
    return "nothing thrown";
}

}  // namespace

TEST_CASE("blocked and round-robin shares differ by one expert at most") {
    for (std::size_t ranks = 1; ranks <= 9; ++ranks)
        for (std::size_t experts = 1; experts <= 20; ++experts) {
            for (const auto& p : {expert_placement::blocked(experts, ranks),
                                  expert_placement::round_robin(experts, ranks)}) {
                check_laws(p, experts, ranks);
                const auto [least, most] = least_and_most_held(p);
                CHECK(most - least <= 1);
            }
        }
}

TEST_CASE("blocked experts of one rank are neighbours, and ranks ascend with experts") {
    for (std::size_t ranks = 1; ranks <= 9; ++ranks)
        for (std::size_t experts = 1; experts <= 20; ++experts) {
            const auto p = expert_placement::blocked(experts, ranks);
            for (expert_id e = 1; e < static_cast<expert_id>(experts); ++e)
                CHECK(p.rank_of(e) >= p.rank_of(e - 1));
        }
    CHECK(expert_placement::blocked(7, 3) ==
          expert_placement::from_rank_of_expert({0, 0, 0, 1, 1, 2, 2}, 3));
}

TEST_CASE("fewer blocked experts than ranks are spread over them") {
    CHECK(expert_placement::blocked(2, 6) == expert_placement::from_rank_of_expert({0, 3}, 6));
    CHECK(expert_placement::blocked(3, 8) == expert_placement::from_rank_of_expert({0, 2, 5}, 8));
    CHECK(expert_placement::blocked(2, 6).experts_of(1).empty());
}

TEST_CASE("round robin puts expert e on rank e mod P") {
    const auto p = expert_placement::round_robin(7, 3);
    for (expert_id e = 0; e < 7; ++e)
        CHECK(p.rank_of(e) == e % 3);
    CHECK(p == expert_placement::from_rank_of_expert({0, 1, 2, 0, 1, 2, 0}, 3));
}

TEST_CASE("any placement of experts on ranks keeps the laws") {
    std::mt19937 random(13);
    for (int round = 0; round < 50; ++round) {
        const std::size_t ranks = 1 + random() % 7, experts = 1 + random() % 17;
        std::vector<rank_id> rank_of_expert(experts);
        for (auto& rank : rank_of_expert)
            rank = static_cast<rank_id>(random() % ranks);
        const auto p = expert_placement::from_rank_of_expert(rank_of_expert, ranks);
        check_laws(p, experts, ranks);
        for (std::size_t e = 0; e < experts; ++e)
            CHECK(p.rank_of(static_cast<expert_id>(e)) == rank_of_expert[e]);
    }
}

TEST_CASE("placements differ by their rank count too") {
    CHECK_FALSE(expert_placement::from_rank_of_expert({0, 1}, 2) ==
                expert_placement::from_rank_of_expert({0, 1}, 3));
    CHECK_FALSE(expert_placement::from_rank_of_expert({0, 1}, 2) ==
                expert_placement::from_rank_of_expert({1, 0}, 2));
}

TEST_CASE("a placement refuses more ranks and experts than ids can number") {
    const std::size_t too_many = std::size_t{1} << 31;
    CHECK(words_of_argument_error([&] { expert_placement::blocked(too_many, 2); }) ==
          "locmoe: expert_placement: experts: expected at most 2147483647, got 2147483648");
    CHECK(words_of_argument_error([&] { expert_placement::round_robin(4, too_many); }) ==
          "locmoe: expert_placement: ranks: expected at most 2147483647, got 2147483648");
    CHECK(words_of_argument_error([&] {
              expert_placement::from_rank_of_expert({0}, ~std::size_t{0});
          }) != "");
}

TEST_CASE("a placement refuses no ranks, no experts and ranks outside") {
    CHECK(words_of_argument_error([] { expert_placement::blocked(4, 0); }) ==
          "locmoe: expert_placement: ranks: expected at least one, got none");
    CHECK(words_of_argument_error([] { expert_placement::round_robin(4, 0); }) ==
          "locmoe: expert_placement: ranks: expected at least one, got none");
    CHECK(words_of_argument_error([] { expert_placement::blocked(0, 4); }) ==
          "locmoe: expert_placement: experts: expected at least one, got none");
    CHECK(words_of_argument_error([] {
              expert_placement::from_rank_of_expert({0, 2}, 2);
          }) ==
          "locmoe: expert_placement: rank of expert 1: expected 0 to P - 1 with P = 2, got 2");
    CHECK(words_of_argument_error([] { expert_placement::from_rank_of_expert({-1}, 2); }) ==
          "locmoe: expert_placement: rank of expert 0: expected 0 to P - 1 with P = 2, got -1");
}
