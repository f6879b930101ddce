// From logits to chosen experts, from these to positions, and to what each rank gets.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "compare.hpp"
#include "groups.hpp"
#include "limits.hpp"
#include "locmoe/assign/assignment.hpp"
#include "locmoe/exec/thread_team.hpp"
#include "locmoe/plan/detail/kept_pairs.hpp"
#include "locmoe/routing/detail/softmax_top_k.hpp"
#include "locmoe/routing/softmax.hpp"
#include "locmoe/routing/top_k.hpp"
#include "rivals.hpp"

using namespace locmoe;

namespace bench {
namespace {

struct logits {
    std::size_t n, k, T = n == 64 ? 4096 : 1024;  // in the second-level cache
    memory<float> fresh{T * n}, table{T * n};
    std::vector<expert_id> chosen = std::vector<expert_id>(T * k);

    logits(std::size_t experts, std::size_t choices) : n(experts), k(choices) {}

    void refill() { std::memcpy(table.data(), fresh.data(), fresh.bytes()); }
    void choose() {
        refill();
        locmoe::detail::softmax_top_k(table.data(), n, T, n, k, chosen.data());
    }
    void one_by_one() {
        refill();
        for (std::size_t t = 0; t < T; ++t) {
            const auto row = table.rows(n).row(t);
            top_k(std::span<const float>(row), std::span(chosen).subspan(t * k, k));
            softmax_row(row);
        }
    }
    logit_inputs inputs() const { return {fresh.data(), T, n, k}; }
};

void add_logits(std::size_t n, std::size_t k, double most_ns) {
    using z = logits;
    const group<z> rows(n, k);
    const auto T = static_cast<double>(n == 64 ? 4096 : 1024);
    const std::string name =
        "softmax and top-k, n " + std::to_string(n) + ", k " + std::to_string(k);
    const auto add = [&](const char* which, const char* rival, std::optional<double> target,
                         auto other) {
        rows.add({name + which, T, "ns/token", rival, target, 51}, &z::choose, other);
    };
    add(": one by one", "token by token", {}, &z::one_by_one);
    add(": loops", "plain loops, partial sorts", {},
        [](z& of) { return loops::choice(of.inputs()); });
#ifdef LOCMOE_BENCH_HAS_EIGEN
    add(": Eigen", "Eigen's softmax, partial sorts", {},
        [](z& of) { return eigen::choice(of.inputs()); });
#endif
#ifdef LOCMOE_BENCH_HAS_XTENSOR
    add(": xtensor", "xtensor's softmax, partial sorts", {},
        [](z& of) { return xtensor::choice(of.inputs()); });
#endif
#ifdef LOCMOE_BENCH_HAS_TORCH
    add(": LibTorch", "LibTorch: softmax, topk", n == 64 ? 15.0 : 12.0,
        [](z& of) { return torch::choice(of.inputs()); });
#endif
    rows.add_time({name, T, "ns/token", {}}, most_ns, &z::choose);
}

struct choices {
    std::size_t T, n, k;
    routing uniform{T, k, n, {}, {}, {}}, skewed = uniform;  // half of the slots to one expert
    assignment assigned;
    std::vector<std::size_t> order = std::vector<std::size_t>(T * k);
    topology nodes = topology::uniform(8, 2);
    expert_placement placement = expert_placement::blocked(n, 16);
    thread_team team{2};

    choices(std::size_t tokens, std::size_t experts, std::size_t slots)
        : T(tokens), n(experts), k(slots) {
        std::uint64_t state = 5;
        for (std::size_t i = 0; i < T * k; ++i) {
            uniform.chosen.push_back(static_cast<expert_id>(next_random(state) % n));
            skewed.chosen.push_back(next_random(state) % 2 == 0 ? 0 : uniform.chosen.back());
        }
    }

    void place() { assign_into(uniform, assigned, {}); }
    void place_and_invert() {
        place();
        locmoe::detail::kept_pairs kept({0, nodes, placement, assigned});
        kept.place(assigned, [](row_index, expert_id, row_index) {});
        benchmark::DoNotOptimize(kept.slots.data());
    }
    void place_skewed() { assign_into(skewed, assigned, {}); }
    void place_by_two() { assign_into(uniform, assigned, {}, team); }
    void sort() {
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return uniform.chosen[a] < uniform.chosen[b];
        });
    }
    /// The bytes that come and go, without a thought.
    void copy_by_two() {
        in_halves(team, T * k, [&](row_range half) {
            const std::size_t count = half.end - half.begin;
            std::memcpy(assigned.expert.data() + half.begin, uniform.chosen.data() + half.begin,
                        count * sizeof(expert_id));
            std::memset(assigned.position.data() + half.begin, 0, count * sizeof(std::int64_t));
        });
    }
};

void add_positions(std::size_t T, std::size_t n, std::size_t k) {
    using c = choices;
    const group<c> rows(T, n, k);
    const std::string name = "positions, T " + std::to_string(T) + ", n " + std::to_string(n) +
                             ", k " + std::to_string(k);
    const auto slots = static_cast<double>(T * k);
    const auto add = [&](const std::string& which, const char* rival,
                         std::optional<double> target, auto kernel, auto other,
                         double (*clock)() = cpu_ns) {
        rows.add({name + which, slots, "ns/slot", rival, target, 21, clock}, kernel, other);
    };
    add(": sort", "std::stable_sort of the slots by expert", 25.0, &c::place, &c::sort);
#ifdef LOCMOE_BENCH_HAS_TORCH
    add(": argsort", "LibTorch's stable sort by expert, with its order", 25.0, &c::place,
        [](c& of) { return torch::argsort(of.uniform.chosen); });
#endif
    add(", half to one expert: uniform", "all to any", 1 / 1.2, &c::place_skewed, &c::place);
    rows.add_time({name, slots, "ns/slot", {}}, 1.5, &c::place);
    rows.add_time({name + ", and the inverse permutation", slots, "ns/slot", {}}, 2.2,
                  &c::place_and_invert);
    add(two + ": one", "one thread", 1.8, &c::place_by_two, &c::place, wall_ns);
    add(two + ": copy", "as many bytes copied and filled by two threads", {}, &c::place_by_two,
        &c::copy_by_two, wall_ns);
}

/// A pair for each of P ranks on average, an expert a rank.
struct pairs_of_ranks {
    std::size_t P;
    topology nodes = topology::uniform(P / 8, 8);
    expert_placement placement = expert_placement::blocked(P, P);
    assignment assigned;

    explicit pairs_of_ranks(std::size_t ranks) : P(ranks) {
        routing decided{P, 1, P, {}, {}, {}};
        std::uint64_t state = 3;
        for (std::size_t t = 0; t < P; ++t)
            decided.chosen.push_back(static_cast<expert_id>(next_random(state) % P));
        assigned = assign(decided);
    }
    void count() {
        const locmoe::detail::kept_pairs kept({0, nodes, placement, assigned});
        benchmark::DoNotOptimize(kept.count.data());
    }
    /// So often that the clock does not count.
    void count_often() {
        for (std::size_t done = 0; done < 8192; done += P) count();
    }
};

}  // namespace

void add_choices() {
    add_logits(64, 2, 40);
    add_logits(256, 8, 180);
    for (const std::size_t k : {1u, 2u, 8u}) add_positions(32768, 64, k);
    for (const std::size_t P : {8u, 64u, 512u, 8192u})
        group<pairs_of_ranks>(P).add_time(
            {"counts and offsets for all ranks, P " + std::to_string(P), 8192, "ns/rank", {}}, 8,
            &pairs_of_ranks::count_often);
}

}  // namespace bench
