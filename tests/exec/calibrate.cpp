#include "locmoe/exec/calibrate.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <exception>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/simulated_kernels.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

std::array<double, 11> numbers_of(const cluster_costs& costs) {
    const auto& [inside, between, leaves, pack] = costs;
    return {inside.latency,         inside.overhead,       inside.message_bandwidth,
            inside.rank_bandwidth,  between.latency,       between.overhead,
            between.rank_bandwidth, between.nic_bandwidth, between.fan_in_loss,
            between.fan_in_free,    pack};
}

/// What the ranks of a simulated cluster find out about it; all of them the same.
calibration found_on(const topology& nodes, const cluster_costs& costs,
                     simulate_options simulation = {0}) {
    std::vector<calibration> found(nodes.rank_count());
    run_simulated(
        nodes, costs,
        [&](simulated_backend& backend) {
            found[static_cast<std::size_t>(backend.rank())] =
                calibrate(backend, nodes, {.repetitions = 1}, simulated_kernels(backend));
        },
        simulation);
    for (const calibration& c : found) CHECK(numbers_of(c.costs) == numbers_of(found[0].costs));
    return found[0];
}

cluster_costs any_costs(unsigned seed) {
    std::mt19937 random(seed);
    const auto between = [&](double least, double most) {  // on a logarithmic scale
        const double share = static_cast<double>(random()) / 4294967295.0;
        return least * std::pow(most / least, share);
    };
    cluster_costs costs;
    costs.intra_node = {between(0.3e-6, 10e-6), between(0.1e-6, 2e-6), between(2e9, 100e9),
                        between(5e9, 300e9)};
    costs.inter_node = {between(1e-6, 60e-6), between(0.2e-6, 10e-6), between(1e9, 50e9),
                        between(1e9, 50e9)};
    costs.pack_bandwidth = between(2e9, 1e12);
    return costs;
}

std::size_t second_largest_node(const topology& nodes) {
    std::vector<std::size_t> sizes;
    for (std::size_t n = 0; n < nodes.node_count(); ++n)
        sizes.push_back(nodes.ranks_of(static_cast<node_id>(n)).size());
    std::sort(sizes.rbegin(), sizes.rend());
    return sizes[1];
}

/// What can be told of the true costs is within `tolerance` of them, the rest is the default.
void check_found(const topology& nodes, const cluster_costs& truth, const calibration& found,
                 double tolerance) {
    cluster_costs expected = truth;
    auto& inside = expected.intra_node;
    auto& between = expected.inter_node;
    inside.message_bandwidth = std::min(inside.message_bandwidth, inside.rank_bandwidth);
    inside.rank_bandwidth = std::min(inside.rank_bandwidth, 4 * inside.message_bandwidth);
    between.rank_bandwidth = std::min(between.rank_bandwidth, between.nic_bandwidth);
    if (nodes.node_count() > 1)
        between.nic_bandwidth =
            std::min(between.nic_bandwidth,
                     static_cast<double>(second_largest_node(nodes)) * between.rank_bandwidth);
    CHECK(found.intra_node == (nodes.node_count() < nodes.rank_count()));
    CHECK(found.inter_node == (nodes.node_count() > 1));
    CHECK_FALSE(found.costs.leaves);
    if (!found.intra_node) inside = {};
    if (!found.inter_node) between = {};
    const auto got = numbers_of(found.costs);
    const auto wanted = numbers_of(expected);
    for (std::size_t i = 0; i < got.size(); ++i) {
        CAPTURE(i);
        CHECK(got[i] == Approx(wanted[i]).epsilon(tolerance));
    }
}

template <class Function>
std::string words_of(Function function) {
    try {
        function();
    } catch (const std::exception& e) {
        return e.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("calibrate finds a simulated cluster's costs on any topology", "[exec][calibrate]") {
    const topology several[] = {topology::single_node(1),
                                topology::single_node(2),
                                topology::single_node(5),
                                topology::uniform(2, 1),
                                topology::uniform(3, 1),
                                topology::uniform(2, 4),
                                topology::uniform(3, 3),
                                topology::uniform(4, 2),
                                topology::from_node_of_rank({0, 1, 0, 0, 1}),
                                topology::from_node_of_rank({0, 1, 1, 1, 1, 2, 3}),
                                topology::from_node_of_rank({2, 0, 1, 1, 0, 1, 0, 3, 3})};
    unsigned seed = 0;
    for (const topology& nodes : several)
        for (int round = 0; round < 2; ++round) {
            const cluster_costs truth = any_costs(++seed);
            CAPTURE(seed, nodes.rank_count(), nodes.node_count());
            check_found(nodes, truth, found_on(nodes, truth), 0.01);
        }
    for (; seed < 40; ++seed) {
        random_cases::generator g(seed);
        const topology nodes = random_cases::any_topology(g, 1 + g.up_to(8));
        const cluster_costs truth = any_costs(seed);
        CAPTURE(seed, nodes.rank_count(), nodes.node_count());
        check_found(nodes, truth, found_on(nodes, truth), 0.01);
    }
}

TEST_CASE("calibrate finds what a card loses to many senders", "[exec][calibrate]") {
    const topology several[] = {topology::uniform(3, 1),  topology::uniform(4, 4),
                                topology::uniform(5, 2),  topology::uniform(8, 2),
                                topology::uniform(12, 1), topology::uniform(20, 1),
                                topology::from_node_of_rank({0, 1, 2, 3, 0, 0, 1, 2, 4, 4, 3, 5})};
    unsigned seed = 100;
    std::size_t losses = 0;
    for (const topology& nodes : several)
        for (const double free : {1.0, 2.0, 2.6, 4.0})
            for (const double loss : {0.02, 0.1, 0.4}) {
                cluster_costs truth = any_costs(++seed);
                truth.inter_node.overhead *= 0.1;  // or it hides what the bytes lose
                truth.inter_node.fan_in_loss = loss;
                truth.inter_node.fan_in_free = free;
                CAPTURE(seed, nodes.rank_count(), nodes.node_count(), free, loss);
                const calibration found = found_on(nodes, truth);
                const inter_node_costs& got = found.costs.inter_node;
                const std::size_t ranks = second_largest_node(nodes);
                std::size_t others = 0;  // of as many ranks
                for (std::size_t n = 0; n < nodes.node_count(); ++n)
                    others += nodes.ranks_of(static_cast<node_id>(n)).size() >= ranks;
                --others;
                const auto card = [&](std::size_t senders) {
                    return std::min(truth.inter_node.nic_bandwidth * truth.inter_node.eta(senders),
                                    static_cast<double>(ranks) * truth.inter_node.rank_bandwidth);
                };
                REQUIRE(found.fan_in);
                CHECK(got.nic_bandwidth == Approx(card(1)).epsilon(0.01));
                if (got.fan_in_loss == 0) {
                    CHECK(card(1) < 1.12 * card(others));
                    continue;
                }
                ++losses;
                CHECK(card(1) > 1.08 * card(others));
                for (const std::size_t senders : {std::size_t{2}, others})
                    CHECK(got.nic_bandwidth * got.eta(senders) ==
                          Approx(card(senders)).epsilon(0.03));
            }
    CHECK(losses > 30);
}

TEST_CASE("a fan-in loss is read off two points at most", "[exec][calibrate]") {
    using detail::fan_in_point;
    const auto fitted = [](std::vector<fan_in_point> points) {
        inter_node_costs costs;
        detail::fit_fan_in(points, costs);
        return std::array{costs.fan_in_loss, costs.fan_in_free};
    };
    const std::array none{0.0, 1.0};
    CHECK(fitted({}) == none);
    CHECK(fitted({{2, 1.3}, {7, 1.09}}) == none);  // noise
    CHECK(fitted({{3, std::nan("")}}) == none);
    CHECK(fitted({{2, 1}, {3, 1.5}}) == std::array{0.5, 2.0});
    CHECK(fitted({{2, 1}, {8, 2}, {15, 3.75}}) == std::array{0.25, 4.0});
    CHECK(fitted({{2, 1.5}, {5, 3}}) == std::array{0.5, 1.0});
    CHECK(fitted({{2, 1.5}, {5, 1.5}}) == std::array{0.125, 1.0});   // no line through both
    CHECK(fitted({{2, 1}, {4, 2}, {6, 2.5}}) == std::array{0.375, 2.0});  // 2 nodes were free
}

TEST_CASE("calibrate finds costs at the edges of the model", "[exec][calibrate]") {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    cluster_costs truth;
    truth.intra_node = {0, 0, 20e9, infinity};
    truth.inter_node = {0, 0, infinity, 10e9};
    truth.pack_bandwidth = infinity;
    const topology nodes = topology::uniform(3, 3);
    const calibration found = found_on(nodes, truth);
    CHECK(found.costs.intra_node.latency < 1e-9);
    CHECK(found.costs.intra_node.overhead < 1e-9);
    CHECK(found.costs.intra_node.rank_bandwidth == Approx(80e9).epsilon(0.05));
    CHECK(found.costs.inter_node.rank_bandwidth == Approx(10e9).epsilon(0.05));
    CHECK(found.costs.inter_node.nic_bandwidth == Approx(10e9).epsilon(0.05));
    CHECK(found.costs.pack_bandwidth == infinity);
    CHECK_NOTHROW(check_costs(found.costs));
}

TEST_CASE("calibrate finds the costs of a coarser simulation too", "[exec][calibrate]") {
    const topology nodes = topology::uniform(2, 3);
    const cluster_costs truth;
    check_found(nodes, truth, found_on(nodes, truth, {}), 0.05);
}

TEST_CASE("on a slow network calibrate sends less and still ends in time", "[exec][calibrate]") {
    for (const auto& [bandwidth, count] :
         {std::pair<double, std::size_t>{1e6, 2}, {1e8, 2}, {1e6, 12}, {1e8, 12}}) {
        cluster_costs truth;
        truth.inter_node = {200e-6, 20e-6, bandwidth, 3 * bandwidth};
        if (count > 2) truth.inter_node.fan_in_loss = 0.05;
        const topology nodes = topology::uniform(count, 3);
        calibration found;
        const double seconds = run_simulated(nodes, truth, [&](simulated_backend& backend) {
            const auto mine =
                calibrate(backend, nodes, {.most_bytes = 1 << 20}, simulated_kernels(backend));
            if (backend.rank() == 0) found = mine;
        });
        CAPTURE(bandwidth, count);
        CHECK(seconds < 0.9);
        CHECK(found.costs.inter_node.fan_in_loss ==
              Approx(truth.inter_node.fan_in_loss).epsilon(0.05));
        CHECK(found.costs.inter_node.rank_bandwidth == Approx(bandwidth).epsilon(0.05));
        CHECK(found.costs.inter_node.nic_bandwidth == Approx(3 * bandwidth).epsilon(0.05));
    }
}

TEST_CASE("a calibration says what was measured and what is a default", "[exec][calibrate]") {
    const topology nodes = topology::uniform(2, 1);
    const calibration found = found_on(nodes, {});
    const std::string text = describe(found);
    CHECK(contains(text, "intra-node (not there, default): latency 2000 ns"));
    CHECK(contains(text,
                   "inter-node (measured): latency 5000 ns, overhead 1000 ns, a rank 12500 "
                   "MB/s, a card 12500 MB/s"));
    CHECK(contains(text, "packing (measured): 200000 MB/s"));
    CHECK(contains(text, "fan-in (not there, default): no loss"));
    CHECK(contains(text, "leaf switches: not measured"));
}

TEST_CASE("of the ranks the slowest counts", "[exec][calibrate]") {
    std::vector<double> packing(4);
    const topology one = topology::single_node(4);
    run_simulated(one, {}, [&](simulated_backend& backend) {
        struct slow_kernels : host_kernels {
            explicit slow_kernels(simulated_backend& of) : backend(of) {}
            void gather(const row_space& space, const row_sums& rows, row_range range,
                        token_rows to) const {
                host_kernels::gather(space, rows, range, to);
                backend.advance(backend.rank() == 2 ? 4e-3 : 1e-3);
            }
            simulated_backend& backend;
        };
        packing[static_cast<std::size_t>(backend.rank())] =
            calibrate(backend, one, {.repetitions = 3}, slow_kernels(backend)).costs.pack_bandwidth;
    });
    CHECK(packing == std::vector<double>(4, packing[0]));
    CHECK(packing[0] == Approx((4 << 20) / 4e-3));
}

TEST_CASE("threads of one process all find the same costs", "[exec][calibrate]") {
    for (const topology& nodes : {topology::single_node(1), topology::uniform(2, 1),
                                  topology::from_node_of_rank({0, 1, 0, 0, 1})}) {
        std::vector<cluster_costs> found(nodes.rank_count());
        run_in_process(nodes.rank_count(), [&](in_process_backend& backend) {
            found[static_cast<std::size_t>(backend.rank())] =
                calibrate(backend, nodes, {.seconds = 0.05, .most_bytes = 1 << 18}).costs;
        });
        for (const cluster_costs& costs : found) {
            CHECK_NOTHROW(check_costs(costs));
            for (const double number : numbers_of(costs)) CHECK(std::isfinite(number));
            CHECK(numbers_of(costs) == numbers_of(found[0]));
        }
    }
}

TEST_CASE("calibrate refuses what does not fit, on every rank", "[exec][calibrate]") {
    struct wrong {
        topology nodes;
        calibrate_options options;
        const char* told;
    };
    const topology right = topology::single_node(3);
    const double infinity = std::numeric_limits<double>::infinity();
    const wrong cases[] = {
        {topology::uniform(2, 2), {}, "nodes on rank 1: expected a topology of 3 ranks, got 4"},
        {right, {.seconds = 0}, "seconds on rank 1: expected above 0, at most 3600, got 0"},
        {right, {.seconds = infinity}, "seconds on rank 1: expected above 0"},
        {right, {.seconds = std::nan("")}, "seconds on rank 1: expected above 0"},
        {right, {.repetitions = 0}, "repetitions on rank 1: expected 1 to 1000000, got 0"},
        {right, {.most_bytes = 16383}, "most_bytes on rank 1: expected at least 16384"},
        {right, {.most_bytes = std::size_t{1} << 63}, "rank 1: "},  // no such memory
        {topology::uniform(3, 1), {}, "rank 1 holds another topology than the others"},
        {right, {.seconds = 0.25}, "rank 1 holds another time in its options than the others"},
        {right, {.repetitions = 3}, "rank 1 holds another number of repetitions than the others"},
        {right, {.most_bytes = 1 << 20}, "rank 1 holds another value of most_bytes than the others"},
    };
    for (const wrong& w : cases) {
        std::vector<std::string> told(3);
        run_in_process(3, [&](in_process_backend& backend) {
            const bool fails = backend.rank() == 1;
            told[static_cast<std::size_t>(backend.rank())] = words_of([&] {
                calibrate(backend, fails ? w.nodes : right,
                          fails ? w.options : calibrate_options{});
            });
        });
        CAPTURE(w.told);
        CHECK(contains(told[0], w.told));
        CHECK(told[1] != "");
        CHECK(told[2] != "");
    }
}
