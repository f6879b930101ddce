#include "locmoe/routing/hash_router.hpp"

#include <cstdint>
#include <numeric>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"

namespace {

using locmoe::expert_placement;
using locmoe::hash_router;
using locmoe::topology;
using ids = std::vector<std::int32_t>;

struct job {
    topology nodes = topology::uniform(2, 2);
    expert_placement placement;
    explicit job(std::size_t experts) : placement(expert_placement::blocked(experts, 4)) {}

    locmoe::routing route(const hash_router<>& router, const ids& tokens) const {
        const std::vector<float> numbers(tokens.size() * 2);
        return router.route(locmoe::as_matrix(numbers, 2), {2, nodes, placement, tokens});
    }

    // How often each expert is chosen where id v occurs frequencies[v] times.
    std::vector<std::int64_t> load(const hash_router<>& router,
                                   const std::vector<std::int64_t>& frequencies) const {
        ids all(frequencies.size());
        std::iota(all.begin(), all.end(), 0);
        const auto decided = route(router, all);
        std::vector<std::int64_t> sum(router.expert_count(), 0);
        for (std::size_t v = 0; v < all.size(); ++v)
            sum[static_cast<std::size_t>(decided.chosen[v])] += frequencies[v];
        return sum;
    }
};

}  // namespace

TEST_CASE("a hash router sends each id to its expert, with weight 1 and nothing learned") {
    const auto router = hash_router<>::from_expert_of_id({3, 0, 1, 3}, 4);
    const auto decided = job(4).route(router, {2, 0, 0, 3, 1});
    CHECK(decided.token_count == 5);
    CHECK(decided.choice_count == 1);
    CHECK(decided.expert_count == 4);
    CHECK(decided.chosen == std::vector<locmoe::expert_id>{1, 3, 3, 3, 0});
    CHECK(decided.weights == std::vector<float>(5, 1.0f));
    CHECK(decided.probabilities.empty());
    CHECK_NOTHROW(locmoe::check_routing(decided, job(4).placement, 2));
}

TEST_CASE("a hash router has no losses and no gradients") {
    const job here(2);
    const auto router = hash_router<>::random(10, 2, 1);
    const ids tokens{1, 2};
    const locmoe::route_context where{0, here.nodes, here.placement, tokens};
    const std::vector<float> x{1, 2}, grad_weights{5, 7};
    std::vector<float> grad_x{3, 4};
    const auto decided = router.route(locmoe::as_matrix(x, 1), where);
    const auto load = locmoe::count_choices(decided);
    CHECK(router.losses(decided, load, where).total() == 0);
    router.backward(locmoe::as_matrix(x, 1), decided, load, where,
                    {locmoe::as_matrix(grad_weights, 1), 1, locmoe::as_matrix(grad_x, 1), {}});
    CHECK(grad_x == std::vector<float>{3, 4});
}

TEST_CASE("a random hash is fixed by its seed, uses every expert and is roughly even") {
    const std::size_t vocabulary = 8000;
    const std::size_t experts = GENERATE(1u, 3u, 16u);
    const std::vector<std::int64_t> ones(vocabulary, 1);
    const job here(experts);
    ids all(vocabulary);
    std::iota(all.begin(), all.end(), 0);
    const auto first = here.route(hash_router<>::random(vocabulary, experts, 7), all);
    CHECK(first.chosen == here.route(hash_router<>::random(vocabulary, experts, 7), all).chosen);
    if (experts > 1)
        CHECK(first.chosen !=
              here.route(hash_router<>::random(vocabulary, experts, 8), all).chosen);
    // Six standard deviations of a binomial count.
    const double mean = double(vocabulary) / double(experts);
    for (const auto count : here.load(hash_router<>::random(vocabulary, experts, 7), ones))
        CHECK(std::abs(double(count) - mean) <= 6 * std::sqrt(mean));
}

TEST_CASE("a balanced hash is within the largest frequency of even") {
    const std::size_t experts = GENERATE(1u, 2u, 5u, 8u);
    std::vector<std::int64_t> zipf;
    for (std::int64_t v = 1; v <= 256; ++v) zipf.push_back(100000 / ((v * 37) % 257));
    const std::int64_t largest = 100000;
    const auto load = job(experts).load(hash_router<>::balanced(zipf, experts), zipf);
    std::int64_t least = load[0], most = load[0];
    for (const auto l : load) {
        least = l < least ? l : least;
        most = l > most ? l : most;
    }
    CHECK(most - least <= largest);
    // Far better where, as here, the tail is long enough to even out what the head left.
    if (experts == 2 || experts == 5) CHECK(double(most - least) < 0.01 * double(most));
}

TEST_CASE("a balanced hash breaks ties by fewest ids and lowest numbers, also for unseen ids") {
    ids all{0, 1, 2, 3, 4, 5, 6};
    const auto chosen = [&](const std::vector<std::int64_t>& frequencies) {
        return job(3).route(hash_router<>::balanced(frequencies, 3), all).chosen;
    };
    using experts = std::vector<locmoe::expert_id>;
    CHECK(chosen({0, 0, 0, 0, 0, 0, 0}) == experts{0, 1, 2, 0, 1, 2, 0});
    CHECK(chosen({5, 5, 5, 5, 5, 5, 5}) == experts{0, 1, 2, 0, 1, 2, 0});
    CHECK(chosen({1, 2, 9, 4, 3, 0, 0}) == experts{1, 2, 0, 1, 2, 1, 2});
}

TEST_CASE("a hash router refuses ids, maps and counts that cannot be, naming token and rank") {
    const auto router = hash_router<>::random(10, 4, 1);
    CHECK(job(4).route(router, {}).chosen.empty());
    CHECK_THROWS_AS(job(4).route(router, {1, 10}), locmoe::argument_error);
    CHECK_THROWS_WITH(
        job(4).route(router, {1, 10}),
        "locmoe: route: id of token 1 on rank 2: expected 0 to V - 1 with V = 10, got "
        "10");
    CHECK_THROWS_WITH(
        job(4).route(router, {-1}),
        "locmoe: route: id of token 0 on rank 2: expected 0 to V - 1 with V = 10, got "
        "-1");
    CHECK_THROWS_WITH(
        job(5).route(router, {1}),
        "locmoe: route: placement on rank 2: expected 4 experts (the router's), got 5");
    const job here(4);
    const std::vector<float> x(3);
    CHECK_THROWS_WITH(router.route(locmoe::as_matrix(x, 1), {1, here.nodes, here.placement}),
                      "locmoe: route: where.token_ids on rank 1: expected T = 3 ids, got 0");
    CHECK_THROWS_AS(hash_router<>::from_expert_of_id({0, 4}, 4), locmoe::argument_error);
    CHECK_THROWS_AS(hash_router<>::from_expert_of_id({0, -1}, 4), locmoe::argument_error);
    CHECK_THROWS_AS(hash_router<>::random(10, 0, 1), locmoe::argument_error);
    CHECK_THROWS_AS(hash_router<>::balanced(std::vector<std::int64_t>{1}, 0),
                    locmoe::argument_error);
    CHECK_THROWS_AS(hash_router<>::balanced(std::vector<std::int64_t>{1, -1}, 2),
                    locmoe::argument_error);
}
