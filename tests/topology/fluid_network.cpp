#include "locmoe/topology/detail/fluid_network.hpp"

#include <cstddef>
#include <limits>
#include <set>
#include <vector>

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct posted {
    double time;
    rank_id from, to;
    double bytes;
};

std::vector<double> run(const std::vector<posted>& messages, const topology& nodes,
                        const cluster_costs& costs, double resolution) {
    detail::fluid_network network(nodes, costs, resolution);
    for (std::size_t m = 0; m < messages.size(); ++m)
        network.start(messages[m].time, messages[m].from, messages[m].to, messages[m].bytes, m);
    std::vector<double> arrived(messages.size(), -1);
    double last = 0;
    while (const auto next = network.next()) {
        CHECK(next->time >= last);
        last = next->time;
        arrived[next->message] = next->time;
    }
    return arrived;
}

/// The same, message by message and link by link, by the definition: no groups, no queues.
class slow_network {
  public:
    slow_network(const topology& nodes, const cluster_costs& costs)
        : nodes_(nodes), costs_(costs) {}

    std::vector<double> run(const std::vector<posted>& messages) const {
        const std::size_t count = messages.size();
        std::vector<double> begins(count), left(count), arrived(count, -1);
        for (std::size_t m = 0; m < count; ++m) {
            begins[m] = messages[m].time + latency(messages[m]);
            left[m] = messages[m].bytes;
        }
        double now = 0;
        for (;;) {
            std::vector<char> flows(count, 0);
            double next = infinity;
            for (std::size_t m = 0; m < count; ++m) {
                flows[m] = arrived[m] < 0 && begins[m] <= now;
                if (begins[m] > now && begins[m] < next) next = begins[m];
            }
            const std::vector<double> rate = rates(messages, flows);
            for (std::size_t m = 0; m < count; ++m)
                if (flows[m] && now + left[m] / rate[m] < next) next = now + left[m] / rate[m];
            if (next == infinity) return arrived;
            for (std::size_t m = 0; m < count; ++m) {
                if (!flows[m]) continue;
                left[m] -= rate[m] * (next - now);
                if (left[m] <= 1e-9 * messages[m].bytes) arrived[m] = next;
            }
            now = next;
        }
    }

  private:
    std::size_t leaf(rank_id rank) const {
        return costs_.leaves ? static_cast<std::size_t>(nodes_.node_of(rank)) / costs_.leaves->nodes
                             : 0;
    }

    double latency(const posted& m) const {
        if (nodes_.same_node(m.from, m.to)) return costs_.intra_node.latency;
        return costs_.inter_node.latency +
               (leaf(m.from) != leaf(m.to) ? costs_.leaves->latency : 0.0);
    }

    /// Raises all rates together; whoever meets a full link stays.
    std::vector<double> rates(const std::vector<posted>& messages,
                              const std::vector<char>& flows) const {
        struct link {
            double capacity;
            std::vector<std::size_t> messages;
        };
        std::vector<link> links;
        const auto gather = [&](double capacity, auto crosses) {
            link l{capacity, {}};
            for (std::size_t m = 0; m < messages.size(); ++m)
                if (flows[m] && crosses(messages[m])) l.messages.push_back(m);
            if (!l.messages.empty() && capacity < infinity) links.push_back(l);
        };
        const auto inside = [&](const posted& m) { return nodes_.same_node(m.from, m.to); };
        for (rank_id r = 0; r < static_cast<rank_id>(nodes_.rank_count()); ++r) {
            gather(costs_.intra_node.rank_bandwidth,
                   [&](const posted& m) { return inside(m) && m.from == r; });
            gather(costs_.intra_node.rank_bandwidth,
                   [&](const posted& m) { return inside(m) && m.to == r; });
            gather(costs_.inter_node.rank_bandwidth,
                   [&](const posted& m) { return !inside(m) && m.from == r; });
            gather(costs_.inter_node.rank_bandwidth,
                   [&](const posted& m) { return !inside(m) && m.to == r; });
        }
        for (node_id n = 0; n < static_cast<node_id>(nodes_.node_count()); ++n) {
            gather(costs_.inter_node.nic_bandwidth,
                   [&](const posted& m) { return !inside(m) && nodes_.node_of(m.from) == n; });
            std::set<node_id> senders;
            for (std::size_t m = 0; m < messages.size(); ++m)
                if (flows[m] && nodes_.node_of(messages[m].to) == n)
                    senders.insert(nodes_.node_of(messages[m].from));
            senders.erase(n);
            const double over = static_cast<double>(senders.size()) - costs_.inter_node.fan_in_free;
            const double eta = over <= 0 ? 1 : 1 / (1 + costs_.inter_node.fan_in_loss * over);
            gather(eta * costs_.inter_node.nic_bandwidth,
                   [&](const posted& m) { return !inside(m) && nodes_.node_of(m.to) == n; });
        }
        for (std::size_t l = 0; costs_.leaves && l < nodes_.node_count(); ++l) {
            gather(costs_.leaves->uplink_bandwidth,
                   [&](const posted& m) { return leaf(m.from) == l && leaf(m.to) != l; });
            gather(costs_.leaves->uplink_bandwidth,
                   [&](const posted& m) { return leaf(m.from) != l && leaf(m.to) == l; });
        }
        // A message's own limit is a link to itself.
        for (std::size_t m = 0; m < messages.size(); ++m)
            if (flows[m] && inside(messages[m]))
                links.push_back({costs_.intra_node.message_bandwidth, {m}});

        std::vector<double> rate(messages.size(), -1);
        for (;;) {
            double least = infinity;
            const link* tight = nullptr;
            for (const link& l : links) {
                double rest = l.capacity, open = 0;
                for (const std::size_t m : l.messages)
                    if (rate[m] < 0)
                        ++open;
                    else
                        rest -= rate[m];
                if (open > 0 && rest / open < least) {
                    least = rest / open;
                    tight = &l;
                }
            }
            if (tight == nullptr) return rate;
            for (const std::size_t m : tight->messages)
                if (rate[m] < 0) rate[m] = least;
        }
    }

    const topology& nodes_;
    const cluster_costs& costs_;
};

cluster_costs any_costs(random_cases::generator& g) {
    const auto one_of = [&](double a, double b, double c) {
        const std::size_t i = g.up_to(2);
        return i == 0 ? a : i == 1 ? b : c;
    };
    cluster_costs costs;
    costs.intra_node.rank_bandwidth = one_of(30e9, 70e9, infinity);
    costs.inter_node.rank_bandwidth = one_of(3e9, 12.5e9, infinity);
    costs.inter_node.nic_bandwidth = one_of(5e9, 12.5e9, 20e9);
    if (g.chance(0.5)) costs.leaves = leaf_switches{1 + g.up_to(2), one_of(4e9, 40e9, infinity)};
    return costs;
}

std::vector<posted> any_messages(random_cases::generator& g, std::size_t ranks) {
    std::vector<posted> messages;
    const std::size_t count = 1 + g.up_to(40);
    while (messages.size() < count) {
        const auto from = static_cast<rank_id>(g.up_to(ranks - 1));
        const auto to = static_cast<rank_id>(g.up_to(ranks - 1));
        if (from == to) continue;
        const double bytes = static_cast<double>(1 + g.up_to(g.chance(0.2) ? 100 : 1'000'000));
        messages.push_back({static_cast<double>(g.up_to(20)) * 1e-6, from, to, bytes});
    }
    return messages;
}

}  // namespace

TEST_CASE("messages share links as max-min fairness by definition says", "[topology]") {
    for (std::uint32_t seed = 0; seed < 400; ++seed) {
        random_cases::generator g(seed);
        const topology nodes = random_cases::any_topology(g, 2 + g.up_to(7));
        cluster_costs costs = any_costs(g);
        const auto messages = any_messages(g, nodes.rank_count());
        if (g.chance(0.5)) {
            costs.inter_node.fan_in_loss = g.chance(0.5) ? 0.05 : 0.7;
            costs.inter_node.fan_in_free = g.chance(0.5) ? 1 : 2.5;
        }
        const auto fast = run(messages, nodes, costs, 0);
        const auto slow = slow_network(nodes, costs).run(messages);
        CAPTURE(seed);
        for (std::size_t m = 0; m < messages.size(); ++m)
            REQUIRE(fast[m] == Approx(slow[m]).epsilon(1e-7));
    }
}

TEST_CASE("a coarse resolution comes out late by about its size, and overloads no card",
          "[topology]") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        random_cases::generator g(seed);
        const topology nodes = random_cases::any_topology(g, 2 + g.up_to(7));
        const cluster_costs costs = any_costs(g);
        const auto messages = any_messages(g, nodes.rank_count());
        const auto last = [](const std::vector<double>& times) {
            double latest = 0;
            for (const double t : times) latest = t > latest ? t : latest;
            return latest;
        };
        const auto exact = run(messages, nodes, costs, 0);
        const auto coarse = run(messages, nodes, costs, 1e-2);
        CAPTURE(seed);
        REQUIRE(last(coarse) < 1.04 * last(exact));
        REQUIRE(last(coarse) > 0.99 * last(exact));
        std::vector<double> out(nodes.node_count(), 0);
        double first = infinity;
        for (const posted& m : messages) {
            if (m.time < first) first = m.time;
            if (!nodes.same_node(m.from, m.to))
                out[static_cast<std::size_t>(nodes.node_of(m.from))] += m.bytes;
        }
        for (const double bytes : out)
            REQUIRE(last(coarse) >= first + bytes / costs.inter_node.nic_bandwidth);
    }
}

TEST_CASE("a card loses with the nodes that send to it at once, not with their messages",
          "[topology]") {
    const topology nodes = topology::uniform(5, 2);
    cluster_costs costs;
    costs.inter_node.latency = 0;
    costs.inter_node.fan_in_loss = 0.25;
    const auto seconds = [&](std::vector<rank_id> senders) {
        std::vector<posted> messages;
        for (const rank_id from : senders) messages.push_back({0, from, 0, 12.5e9});
        return run(messages, nodes, costs, 0)[0] / static_cast<double>(senders.size());
    };
    CHECK(seconds({2}) == Approx(1));
    CHECK(seconds({2, 3}) == Approx(1));  // one node
    CHECK(seconds({2, 4}) == Approx(1.25));
    CHECK(seconds({2, 3, 4, 5, 6}) == Approx(1.5));
    CHECK(seconds({2, 4, 6, 8}) == Approx(1.75));
    costs.inter_node.fan_in_free = 3;
    CHECK(seconds({2, 4, 6}) == Approx(1));
    CHECK(seconds({2, 4, 6, 8}) == Approx(1.25));
    costs.inter_node.rank_bandwidth = 5e9;  // a card that ranks cannot fill loses all the same
    costs.inter_node.fan_in_free = 1;
    costs.inter_node.fan_in_loss = 10;
    CHECK(seconds({2, 4}) == Approx(11));
}

TEST_CASE("a card that is busy neither idles nor overruns, at any resolution", "[topology]") {
    const topology nodes = topology::uniform(2, 4);
    cluster_costs costs;
    costs.inter_node.latency = 0;
    std::vector<posted> messages;
    double bytes = 0;
    for (rank_id i = 0; i < 16; ++i) {
        messages.push_back({i * 1e-6, i % 4, 4 + i / 4, 100'000.0 * (1 + i % 3)});
        bytes += messages.back().bytes;
    }
    for (const double resolution : {0.0, 1e-2, 1.0}) {
        double last = 0;
        for (const double t : run(messages, nodes, costs, resolution)) last = t > last ? t : last;
        CHECK(last == Approx(bytes / 12.5e9).epsilon(1e-9));
    }
}
