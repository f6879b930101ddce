#include "locmoe/topology/cluster_costs.hpp"

#include <limits>
#include <string>

#include "catch.hpp"

using namespace locmoe;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// The words of the error that `costs` gives, "" where it gives none.
std::string refusal(const cluster_costs& costs) {
    try {
        check_costs(costs);
    } catch (const argument_error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("the default costs are sound, with a leaf switch and without", "[topology]") {
    cluster_costs costs;
    CHECK(refusal(costs) == "");
    costs.leaves = leaf_switches{};
    CHECK(refusal(costs) == "");
}

TEST_CASE("a rank's bandwidths and packing may be unlimited, latencies nothing", "[topology]") {
    cluster_costs costs;
    costs.intra_node.rank_bandwidth = costs.inter_node.rank_bandwidth = infinity;
    costs.pack_bandwidth = infinity;
    costs.leaves = leaf_switches{1, infinity, 0};
    costs.intra_node.latency = costs.intra_node.overhead = 0;
    costs.inter_node.latency = costs.inter_node.overhead = 0;
    CHECK(refusal(costs) == "");
}

TEST_CASE("eta is 1 up to the free number and falls from there", "[topology]") {
    inter_node_costs costs;
    CHECK(costs.eta(1000) == 1);
    costs.fan_in_loss = 0.1;
    CHECK(costs.eta(0) == 1);
    CHECK(costs.eta(1) == 1);
    CHECK(costs.eta(2) == 1 / 1.1);
    costs.fan_in_free = 4;
    CHECK(costs.eta(4) == 1);
    CHECK(costs.eta(14) == 0.5);
}

TEST_CASE("as many nodes are let in as cost nothing but no fewer than two", "[topology]") {
    inter_node_costs costs;
    costs.fan_in_free = 4;
    CHECK(costs.window() == 0);  // without a loss
    costs.fan_in_loss = 0.1;
    CHECK(costs.window() == 4);
    costs.fan_in_free = 7.9;
    CHECK(costs.window() == 7);
    costs.fan_in_free = 1;
    CHECK(costs.window() == 2);
    costs.fan_in_free = 1e300;
    CHECK(costs.window() == 0);
}

TEST_CASE("every field that makes no sense is refused by its name", "[topology]") {
    cluster_costs sound;
    sound.leaves = leaf_switches{};
    struct field {
        const char* name;
        double& (*of)(cluster_costs&);
        bool is_bandwidth;
        bool may_be_infinite;
    };
    const field fields[] = {
        {"intra_node.latency", [](cluster_costs& c) -> double& { return c.intra_node.latency; },
         false, false},
        {"intra_node.overhead", [](cluster_costs& c) -> double& { return c.intra_node.overhead; },
         false, false},
        {"intra_node.message_bandwidth",
         [](cluster_costs& c) -> double& { return c.intra_node.message_bandwidth; }, true, false},
        {"intra_node.rank_bandwidth",
         [](cluster_costs& c) -> double& { return c.intra_node.rank_bandwidth; }, true, true},
        {"inter_node.latency", [](cluster_costs& c) -> double& { return c.inter_node.latency; },
         false, false},
        {"inter_node.overhead", [](cluster_costs& c) -> double& { return c.inter_node.overhead; },
         false, false},
        {"inter_node.rank_bandwidth",
         [](cluster_costs& c) -> double& { return c.inter_node.rank_bandwidth; }, true, true},
        {"inter_node.nic_bandwidth",
         [](cluster_costs& c) -> double& { return c.inter_node.nic_bandwidth; }, true, false},
        {"leaves.uplink_bandwidth",
         [](cluster_costs& c) -> double& { return c.leaves->uplink_bandwidth; }, true, true},
        {"leaves.latency", [](cluster_costs& c) -> double& { return c.leaves->latency; }, false,
         false},
        {"pack_bandwidth", [](cluster_costs& c) -> double& { return c.pack_bandwidth; }, true,
         true},
    };
    for (const field& f : fields)
        for (const double value : {-1.0, not_a_number, 0.0, infinity}) {
            cluster_costs costs = sound;
            f.of(costs) = value;
            const bool fine =
                (value == 0.0 && !f.is_bandwidth) || (value == infinity && f.may_be_infinite);
            CAPTURE(f.name, value);
            const std::string words = refusal(costs);
            CHECK(words.empty() == fine);
            if (!fine)
                CHECK(words.find(std::string("cluster_costs: ") + f.name + ":") !=
                      std::string::npos);
        }
    for (const double value : {-0.1, not_a_number, infinity}) {
        cluster_costs costs = sound;
        costs.inter_node.fan_in_loss = value;
        CHECK(refusal(costs).find("cluster_costs: inter_node.fan_in_loss:") != std::string::npos);
    }
    for (const double value : {0.9, not_a_number}) {
        cluster_costs costs = sound;
        costs.inter_node.fan_in_free = value;
        CHECK(refusal(costs).find("cluster_costs: inter_node.fan_in_free:") != std::string::npos);
    }
    cluster_costs costs = sound;
    costs.leaves->nodes = 0;
    CHECK(refusal(costs) == "locmoe: cluster_costs: leaves.nodes: expected at least one, got none");
}
