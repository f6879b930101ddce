#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "locmoe/core/detail/heap.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/detail/key_numbers.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0::detail {

/// Messages as fluids: after its latency, a message flows at the rate that max-min fairness gives
/// it on the links that it crosses (a rank's out and in on its tier, a node's card out and in, leaf
/// uplinks), the rates being worked out anew whenever a message begins or ends. It is what
/// SimGrid's flow-level model does (Casanova et al., "Versatile, scalable, and accurate
/// simulation", JPDC 2014). A card that takes in messages of several nodes has eta of its bandwidth
/// (inter_node_costs), by the nodes that have messages under way to it.
///
/// Messages that cross the same links have the same rate, so they are kept as one group, of which
/// the message with the fewest bytes left ends next: the work is by groups, not by messages.
///
/// With a `resolution` r above 0, links are shared out anew at most once in r times the time since
/// the network was last idle. Until then a group keeps its bandwidth whether messages of it end or
/// begin, and the first message of a group waits: no link is ever used beyond its capacity, and
/// times come out late rather than early, by a fraction of about r. Topology and costs outlive it.
class fluid_network {
  public:
    struct arrival {
        double time = 0;
        std::size_t message = 0;
    };

    fluid_network(const topology& nodes, const cluster_costs& costs, double resolution)
        : nodes_(nodes), costs_(costs), resolution_(resolution) {
        const std::size_t ranks = nodes.rank_count();
        const std::size_t leaves = leaf_of(static_cast<node_id>(nodes.node_count()) - 1) + 1;
        const auto add = [&](std::size_t count, double capacity) {
            const std::size_t first = links_.size();
            links_.resize(first + count, link{capacity, 0, 0, {}});
            return first;
        };
        intra_out_ = add(ranks, costs.intra_node.rank_bandwidth);
        intra_in_ = add(ranks, costs.intra_node.rank_bandwidth);
        rank_out_ = add(ranks, costs.inter_node.rank_bandwidth);
        rank_in_ = add(ranks, costs.inter_node.rank_bandwidth);
        nic_out_ = add(nodes.node_count(), costs.inter_node.nic_bandwidth);
        nic_in_ = add(nodes.node_count(), costs.inter_node.nic_bandwidth);
        leaf_up_ = add(leaves, costs.leaves ? costs.leaves->uplink_bandwidth : infinity);
        leaf_down_ = add(leaves, costs.leaves ? costs.leaves->uplink_bandwidth : infinity);
        if (costs.inter_node.fan_in_loss > 0) counted_for_.assign(nodes.node_count(), 0);
    }

    /// Both sides of a message are ready at `time`, which is no earlier than any arrival given out.
    void start(double time, rank_id from, rank_id to, double bytes, std::size_t message) {
        double latency = costs_.intra_node.latency;
        if (!nodes_.same_node(from, to)) {
            latency = costs_.inter_node.latency;
            if (leaf_of(nodes_.node_of(from)) != leaf_of(nodes_.node_of(to)))
                latency += costs_.leaves->latency;
        }
        beginnings_.push({time + latency, started_++, group_of(from, to), bytes, message});
    }

    /// The next message whose last byte arrives; none where no message is left.
    std::optional<arrival> next() {
        for (;;) {
            const double begins = beginnings_.empty() ? infinity : beginnings_.top().time;
            const double ends = first_end();
            double rates = infinity;
            if (changed_) rates = flowing_ > 0 && not_before_ > now_ ? not_before_ : now_;
            if (begins < infinity && begins <= ends && begins <= rates) {
                if (flowing_ == 0 && joining_.empty()) busy_since_ = begins;
                now_ = begins;
                begin_one();
            } else if (ends < infinity && ends <= rates) {
                now_ = ends;
                return end_one();
            } else if (rates < infinity) {
                now_ = rates;
                work_out_rates();
            } else {
                return std::nullopt;
            }
        }
    }

  private:
    static constexpr double infinity = std::numeric_limits<double>::infinity();

    struct link {
        double capacity = 0;
        double left = 0;    // while rates are worked out: what groups with a rate leave over
        double weight = 0;  // messages without a rate yet
        std::vector<std::size_t> groups;
    };

    struct mark {
        double served = 0;  // the message ends when its group has served each message so much
        std::size_t message = 0;
        bool operator<(const mark& other) const {  // the top of a queue is the least
            return served != other.served ? served > other.served : message > other.message;
        }
    };

    struct group {
        std::uint32_t links[6] = {};
        std::uint32_t link_count = 0;
        std::size_t from = 0;    // node
        double most = infinity;  // a single message's own limit
        double bandwidth = 0;    // of all messages together
        double rate = 0;         // of each
        double served = 0;       // bytes to each message that was there all the while, until `at`
        double at = 0;
        bool rated = false;
        bool active = false;
        heap<mark> marks;
    };

    struct beginning {
        double time = 0;
        std::size_t order = 0;
        std::size_t group = 0;
        double bytes = 0;
        std::size_t message = 0;
        bool operator<(const beginning& other) const {
            return time != other.time ? time > other.time : order > other.order;
        }
    };

    struct ending {
        double time = 0;
        std::size_t group = 0;
        bool operator<(const ending& other) const {
            return time != other.time ? time > other.time : group > other.group;
        }
    };

    struct share {
        double bandwidth = 0;
        std::size_t link = 0;
        bool operator<(const share& other) const {
            return bandwidth != other.bandwidth ? bandwidth > other.bandwidth : link > other.link;
        }
    };

    std::size_t leaf_of(node_id node) const {
        return costs_.leaves ? static_cast<std::size_t>(node) / costs_.leaves->nodes : 0;
    }

    /// Ranks are told apart only where a limit of their own can bind.
    std::size_t group_of(rank_id from, rank_id to) {
        const auto f = static_cast<std::size_t>(from);
        const auto t = static_cast<std::size_t>(to);
        const auto out = static_cast<std::size_t>(nodes_.node_of(from));
        const auto in = static_cast<std::size_t>(nodes_.node_of(to));
        const bool inside = out == in;
        const bool by_rank =
            inside ? costs_.intra_node.rank_bandwidth < infinity
                   : costs_.inter_node.rank_bandwidth < costs_.inter_node.nic_bandwidth;
        const std::size_t ranks = nodes_.rank_count();
        std::uint64_t key =
            2 * ranks * ranks;  // all intra-node messages, where no rank has a limit
        if (by_rank)
            key = f * ranks + t;
        else if (!inside)
            key = ranks * ranks + out * nodes_.node_count() + in;
        const std::size_t number = group_numbers_.of(key);
        if (number == groups_.size()) {
            group& g = groups_.emplace_back();
            g.from = out;
            const auto cross = [&](std::size_t l) {
                g.links[g.link_count++] = static_cast<std::uint32_t>(l);
            };
            if (by_rank) {
                cross((inside ? intra_out_ : rank_out_) + f);
                cross((inside ? intra_in_ : rank_in_) + t);
            }
            const auto card_binds = [&](node_id node) {
                return !by_rank || costs_.inter_node.fan_in_loss > 0 ||
                       static_cast<double>(nodes_.ranks_of(node).size()) *
                               costs_.inter_node.rank_bandwidth >
                           costs_.inter_node.nic_bandwidth;
            };
            if (inside) {
                g.most = costs_.intra_node.message_bandwidth;
            } else {
                if (card_binds(nodes_.node_of(from))) cross(nic_out_ + out);
                if (card_binds(nodes_.node_of(to))) cross(nic_in_ + in);
                const std::size_t up = leaf_of(nodes_.node_of(from));
                const std::size_t down = leaf_of(nodes_.node_of(to));
                if (up != down && costs_.leaves->uplink_bandwidth < infinity) {
                    cross(leaf_up_ + up);
                    cross(leaf_down_ + down);
                }
            }
        }
        return number;
    }

    static double end_of(const group& g) {
        return g.at + (g.marks.top().served - g.served) / g.rate;
    }

    /// An entry may be too early, where others have joined its group since, or left over.
    double first_end() {
        while (!endings_.empty()) {
            const ending first = endings_.top();
            const group& g = groups_[first.group];
            const double end = g.marks.empty() ? infinity : end_of(g);
            if (end <= first.time) return first.time;
            endings_.pop();
            if (end < infinity) endings_.push({end, first.group});
        }
        return infinity;
    }

    void serve(group& g) const {
        g.served += g.rate * (now_ - g.at);
        g.at = now_;
    }

    /// A group's messages share what the group has.
    static void split(group& g) {
        const double each = g.bandwidth / static_cast<double>(g.marks.size());
        g.rate = each < g.most ? each : g.most;
    }

    void begin_one() {
        const beginning b = beginnings_.top();
        beginnings_.pop();
        changed_ = true;
        group& g = groups_[b.group];
        if (g.marks.empty()) {
            joining_.push_back(b);
            return;
        }
        serve(g);
        g.marks.push({g.served + b.bytes, b.message});
        ++flowing_;
        split(g);
        endings_.push({end_of(g), b.group});
    }

    arrival end_one() {
        const std::size_t number = endings_.top().group;
        endings_.pop();
        group& g = groups_[number];
        const std::size_t message = g.marks.top().message;
        serve(g);
        g.marks.pop();
        --flowing_;
        changed_ = true;
        if (!g.marks.empty()) {
            split(g);
            endings_.push({end_of(g), number});
        }
        return {now_, message};
    }

    void work_out_rates() {
        std::size_t kept = 0;
        for (const std::size_t number : active_) {
            group& g = groups_[number];
            serve(g);
            g.active = !g.marks.empty();
            if (g.active) active_[kept++] = number;
        }
        active_.resize(kept);
        for (const beginning& b : joining_) {
            group& g = groups_[b.group];
            if (!g.active) {
                g.active = true;
                g.served = 0;
                g.at = now_;
                active_.push_back(b.group);
            }
            g.marks.push({g.served + b.bytes, b.message});
        }
        flowing_ += joining_.size();
        joining_.clear();
        changed_ = false;
        not_before_ = now_ + resolution_ * (now_ - busy_since_);
        share_out();

        // Once one message has ended, the next rating is near: later ends are not looked at now.
        double horizon = infinity;
        for (const std::size_t number : active_) {
            const double end = end_of(groups_[number]);
            if (end < horizon) horizon = end;
        }
        if (not_before_ > horizon) horizon = not_before_;
        endings_ = {};
        for (const std::size_t number : active_) {
            const double end = end_of(groups_[number]);
            if (end <= horizon) endings_.push({end, number});
        }
    }

    /// Max-min fairness: the link with the least for each message sets the rate of its messages,
    /// and what they take is gone from their other links; and so on with the rest.
    void share_out() {
        for (const std::size_t number : active_) {
            group& g = groups_[number];
            g.rated = false;
            if (g.link_count == 0) {
                g.rate = g.most;
                g.bandwidth = infinity;
            }
            for (std::size_t i = 0; i < g.link_count; ++i) {
                link& l = links_[g.links[i]];
                if (l.groups.empty()) {
                    used_.push_back(g.links[i]);
                    l.left = l.capacity;
                    l.weight = 0;
                }
                l.groups.push_back(number);
                l.weight += static_cast<double>(g.marks.size());
            }
        }
        if (!counted_for_.empty())
            for (const std::size_t l : used_)
                if (l >= nic_in_ && l < leaf_up_) links_[l].left *= fan_in_share(l);
        heap<share> shares;
        for (const std::size_t l : used_) shares.push({links_[l].left / links_[l].weight, l});
        while (!shares.empty()) {
            const share least = shares.top();
            shares.pop();
            link& tight = links_[least.link];
            if (tight.weight <= 0) continue;
            const double now = tight.left / tight.weight;
            if (now > least.bandwidth) {  // it has grown since: shares never shrink
                shares.push({now, least.link});
                continue;
            }
            for (const std::size_t number : tight.groups) {
                group& g = groups_[number];
                if (g.rated) continue;
                g.rated = true;
                g.rate = least.bandwidth < g.most ? least.bandwidth : g.most;
                const auto messages = static_cast<double>(g.marks.size());
                g.bandwidth = g.rate * messages;
                for (std::size_t i = 0; i < g.link_count; ++i) {
                    links_[g.links[i]].left -= g.rate * messages;
                    links_[g.links[i]].weight -= messages;
                }
            }
        }
        for (const std::size_t l : used_) links_[l].groups.clear();
        used_.clear();
    }

    double fan_in_share(std::size_t card) {
        std::size_t senders = 0;
        ++counts_;
        for (const std::size_t number : links_[card].groups) {
            std::size_t& last = counted_for_[groups_[number].from];
            senders += last != counts_;
            last = counts_;
        }
        return costs_.inter_node.eta(senders);
    }

    const topology& nodes_;
    const cluster_costs& costs_;
    double resolution_;
    std::vector<link> links_;
    std::size_t intra_out_, intra_in_, rank_out_, rank_in_, nic_out_, nic_in_, leaf_up_, leaf_down_;
    std::vector<group> groups_;
    key_numbers group_numbers_;
    std::vector<std::size_t> active_;  // groups with a message under way
    std::vector<std::size_t> used_;    // links with a message under way, while rates are worked out
    heap<beginning> beginnings_;
    heap<ending> endings_;
    std::vector<beginning> joining_;  // the first of their groups, without a rate yet
    std::vector<std::size_t> counted_for_;  // by node, in which count it was met; empty: no loss
    std::size_t counts_ = 0;
    std::size_t started_ = 0;
    std::size_t flowing_ = 0;
    bool changed_ = false;  // a message began or ended since the last rating
    double now_ = 0;
    double not_before_ = 0;  // when rates may be worked out again
    double busy_since_ = 0;
};

}  // namespace locmoe::detail
