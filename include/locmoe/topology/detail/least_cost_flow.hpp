#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace locmoe::inline v0::detail {

/// The greatest flow through a network of whole capacities, and among the greatest one of least
/// cost. Costs are not negative. Primal-dual: shortest ways first, all ways of one length at a
/// time. The arcs' order alone decides among equals, so that all ranks find the same flow.
class least_cost_flow {
  public:
    explicit least_cost_flow(std::size_t vertices) : first_(vertices, none) {}

    /// A new arc; the number that `through` knows it by.
    std::size_t add_arc(std::size_t from, std::size_t to, std::int64_t capacity,
                        std::int64_t cost = 0) {
        add_half(from, to, capacity, cost);
        add_half(to, from, 0, -cost);
        return arcs_.size() - 2;
    }

    /// Sends all that fits and returns how much that is. To be called once.
    std::int64_t run(std::size_t source, std::size_t sink) {
        std::int64_t sent = 0;
        while (find_distances(source, sink)) {
            current_ = first_;
            sent += push(source, sink, unlimited);
        }
        return sent;
    }

    std::int64_t through(std::size_t arc) const { return arcs_[arc + 1].room; }

    /// Whether more flow could still come from the source as far as this vertex: the source's side
    /// of a least cut.
    bool reached(std::size_t vertex) const { return distance_[vertex] != unlimited; }

  private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    static constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

    struct half_arc {
        std::size_t to;
        std::size_t next;  // of the same start, none at the end
        std::int64_t room;
        std::int64_t cost;
    };

    void add_half(std::size_t from, std::size_t to, std::int64_t room, std::int64_t cost) {
        arcs_.push_back({to, first_[from], room, cost});
        first_[from] = arcs_.size() - 1;
    }

    // Bellman and Ford's, with a queue: reverse arcs have negative costs, but there is no negative
    // circle in what is left behind by a flow of least cost.
    bool find_distances(std::size_t source, std::size_t sink) {
        distance_.assign(first_.size(), unlimited);
        on_way_.assign(first_.size(), 0);
        std::vector<std::size_t> queue(first_.size() + 1);
        std::size_t head = 0, tail = 0;
        const auto put = [&](std::size_t vertex) {
            queue[tail] = vertex;
            tail = tail + 1 == queue.size() ? 0 : tail + 1;
            on_way_[vertex] = 1;
        };
        distance_[source] = 0;
        put(source);
        while (head != tail) {
            const std::size_t from = queue[head];
            head = head + 1 == queue.size() ? 0 : head + 1;
            on_way_[from] = 0;
            for (std::size_t a = first_[from]; a != none; a = arcs_[a].next) {
                const half_arc& arc = arcs_[a];
                if (arc.room == 0 || distance_[arc.to] <= distance_[from] + arc.cost) continue;
                distance_[arc.to] = distance_[from] + arc.cost;
                if (!on_way_[arc.to]) put(arc.to);
            }
        }
        return reached(sink);
    }

    // Along shortest ways only. Arcs of cost 0 form circles among them, hence on_way_.
    std::int64_t push(std::size_t from, std::size_t sink, std::int64_t most) {
        if (from == sink) return most;
        on_way_[from] = 1;
        std::int64_t sent = 0;
        for (; current_[from] != none; current_[from] = arcs_[current_[from]].next) {
            const std::size_t a = current_[from];
            const std::size_t to = arcs_[a].to;
            if (arcs_[a].room == 0 || on_way_[to] ||
                distance_[to] != distance_[from] + arcs_[a].cost)
                continue;
            const std::int64_t left = most - sent;
            const std::int64_t more = push(to, sink, arcs_[a].room < left ? arcs_[a].room : left);
            arcs_[a].room -= more;
            arcs_[a ^ 1].room += more;
            sent += more;
            if (sent == most) break;
        }
        on_way_[from] = 0;
        return sent;
    }

    std::vector<std::size_t> first_;
    std::vector<std::size_t> current_;
    std::vector<half_arc> arcs_;  // a pair at a time: there, and back
    std::vector<std::int64_t> distance_;
    std::vector<char> on_way_;
};

}  // namespace locmoe::detail
