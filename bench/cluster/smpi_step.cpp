// The exchange of a training step with Mixture-of-Experts layers, on a cluster that SimGrid's SMPI
// simulates: the executor over plain MPI, with routings that the example trainer recorded. Rows are
// not computed with; computation is charged by its FLOPs. paper.py builds and runs it.
//
// usage: smpi_step NAME=VALUE... (see `job`); prints one JSON object.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mpi.h>
#include <simgrid/actor.h>
#include <smpi/smpi.h>

#include "locmoe/adapt/mpi.hpp"
#include "locmoe/assign/assignment.hpp"
#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/exec/best_plan.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/exec/host_kernels.hpp"
#include "locmoe/exec/pipeline.hpp"
#include "locmoe/plan/capacity_padded.hpp"
#include "locmoe/plan/chunk_count.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/group_wise.hpp"
#include "locmoe/plan/pipeline_stages.hpp"
#include "locmoe/plan/traffic.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/routing/to_physical.hpp"
#include "locmoe/tensor/standard.hpp"
#include "locmoe/topology/balance_experts.hpp"

using namespace locmoe;

/// In place of SMPI's own, in which each rank sends to all above it: by doubling, as MPI libraries do.
/// Serves sums of 64-bit integers, all that is asked of it here.
extern "C" int MPI_Exscan(const void* mine, void* before, int count, MPI_Datatype type, MPI_Op op,
                          MPI_Comm comm) {
    constexpr int tag = 32001;  // of no other message here
    int rank = 0, ranks = 0;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &ranks);
    const auto n = static_cast<std::size_t>(count);
    const auto* own = static_cast<const std::int64_t*>(mine);
    auto* out = static_cast<std::int64_t*>(before);
    if (type != MPI_INT64_T || op != MPI_SUM) return MPI_ERR_OP;
    std::vector<std::int64_t> sum(own, own + n), from(n);
    std::fill(out, out + n, 0);
    for (int step = 1; step < ranks; step *= 2) {
        const int up = rank + step < ranks ? rank + step : MPI_PROC_NULL;
        const int down = rank >= step ? rank - step : MPI_PROC_NULL;
        MPI_Sendrecv(sum.data(), count, type, up, tag, from.data(), count, type, down, tag, comm,
                     MPI_STATUS_IGNORE);
        for (std::size_t i = 0; down != MPI_PROC_NULL && i < n; ++i) {
            sum[i] += from[i];
            out[i] += from[i];
        }
    }
    return MPI_SUCCESS;
}

/// What a rank that waits calls between two looks. Here it sleeps for a 64th of what it has waited,
/// or 200 ns: so a wait is at most that much longer, and a long one costs a few hundred looks.
extern "C" int sched_yield() noexcept {
    struct wait {
        double begin = 0, end = 0;
    };
    static std::vector<wait> waits;  // by rank: they share their memory
    int rank = 0, ranks = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    waits.resize(static_cast<std::size_t>(ranks));
    wait& mine = waits[static_cast<std::size_t>(rank)];
    constexpr double looks = 4e-6;  // longer than what a wait does between two calls
    const double now = MPI_Wtime();
    if (now - mine.end > looks) mine.begin = now;
    sg_actor_sleep_for(std::max((now - mine.begin) / 64, 2e-7));
    mine.end = MPI_Wtime();
    return 0;
}

namespace {

/// What the command line says. A *member* holds tokens of its own: a rank, or where `tensor_parallel`
/// is above 1, the ranks of a node together, each with a part of every weight.
struct job {
    std::string routing;   ///< file of experts: [layers, members, tokens, choices], 32-bit
    std::string exchange;  ///< padded, flat, or chosen (the group-wise one where tensor-parallel)
    std::size_t nodes = 8, ranks_per_node = 8, tensor_parallel = 8;
    std::size_t experts = 16, choices = 1, tokens = 2048, layers = 2;
    std::size_t row_bytes = 10240;

    /// Rows and bandwidths are divided by it: so messages take as long and the ranks of a large job fit
    /// in memory. (What planning sends is not: it counts as so many times more than it is.)
    std::size_t shrink = 32;
    double factor = 1.25;        ///< of capacity; 0: none
    double dense_flops = 0;      ///< a token, between two MoE layers, forwards
    double dense_all_reduces = 0;  ///< rows a token, likewise, inside a node
    double expert_flops = 0;     ///< a row, forwards
    double dense_bytes = 0;      ///< gradients of a rank's dense weights
    double expert_bytes = 0;     ///< gradients of a rank's part of one expert, all layers
    double flops = 1e12;         ///< a second and rank
    double intra_bandwidth = 30e9, nic_bandwidth = 12.5e9;
    std::size_t leaf_nodes = 4;
    std::size_t slots = 0;   ///< experts that a member has room for; 0: no replicas
    std::size_t chunks = 1;  ///< of the pipeline; 0: as many as the stages ask for

    std::size_t ranks() const { return nodes * ranks_per_node; }
    std::size_t sent_row_bytes() const { return row_bytes / shrink; }
    double shrunk(double bytes) const { return bytes / static_cast<double>(shrink); }
    std::size_t members() const { return ranks() / tensor_parallel; }
    std::size_t member_of(std::size_t rank) const { return rank / tensor_parallel; }
    topology member_nodes() const {
        return topology::uniform(nodes, ranks_per_node / tensor_parallel);
    }
};

job parse(int argc, char** argv) {
    std::map<std::string, std::string> given;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const std::size_t equals = word.find('=');
        if (equals == word.npos) throw std::invalid_argument("expected NAME=VALUE");
        given[std::string(word.substr(0, equals))] = word.substr(equals + 1);
    }
    job j;
    const auto number = [&](const char* name, auto& to) {
        const auto at = given.find(name);
        if (at == given.end()) return;
        to = static_cast<std::remove_reference_t<decltype(to)>>(std::stod(at->second));
        given.erase(at);
    };
    j.routing = given.extract("routing").mapped();
    j.exchange = given.extract("exchange").mapped();
    number("nodes", j.nodes);
    number("ranks_per_node", j.ranks_per_node);
    number("tensor_parallel", j.tensor_parallel);
    number("experts", j.experts);
    number("choices", j.choices);
    number("tokens", j.tokens);
    number("layers", j.layers);
    number("row_bytes", j.row_bytes);
    number("shrink", j.shrink);
    number("factor", j.factor);
    number("dense_flops", j.dense_flops);
    number("dense_all_reduces", j.dense_all_reduces);
    number("expert_flops", j.expert_flops);
    number("dense_bytes", j.dense_bytes);
    number("expert_bytes", j.expert_bytes);
    number("flops", j.flops);
    number("intra_bandwidth", j.intra_bandwidth);
    number("nic_bandwidth", j.nic_bandwidth);
    number("leaf_nodes", j.leaf_nodes);
    number("slots", j.slots);
    number("chunks", j.chunks);
    if (!given.empty()) throw std::invalid_argument("no option " + given.begin()->first);
    return j;
}

/// Of smpi_platform.py: packing and messages cost no processor time there.
cluster_costs platform_costs(const job& j) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    cluster_costs costs;
    costs.intra_node = {2e-6, 0, j.shrunk(j.intra_bandwidth), infinity};
    costs.inter_node = {5e-6, 0, infinity, j.shrunk(j.nic_bandwidth)};
    costs.leaves = leaf_switches{j.leaf_nodes,
                                 static_cast<double>(j.leaf_nodes) * j.shrunk(j.nic_bandwidth),
                                 2e-6};
    costs.pack_bandwidth = infinity;
    return costs;
}

/// Weights and numbers of rows travel in earnest; rows of tokens are neither read nor written.
struct weight_kernels {
    static constexpr std::size_t largest = 8;
    host_kernels real;

    void gather(const row_space& s, const row_sums& rows, row_range range, token_rows to) const {
        if (to.row_bytes <= largest) real.gather(s, rows, range, to);
    }
    template <class Weight>
    void sum(const row_space& s, const row_sums& rows, row_range range,
             std::span<const Weight> weights, token_rows to) const {
        if (to.row_bytes <= largest) real.sum(s, rows, range, weights, to);
    }
    template <class Weight>
    void scale(const_token_rows, std::span<const Weight>, token_rows) const {}
    template <class Result>
    void dot(const_token_rows, const_token_rows, std::span<Result>) const {}
};

using exchanger = executor<mpi_backend, weight_kernels>;

// --- What happened when, on all ranks: they share their memory.

enum class part { compute, inside_node, plan, exchange, pipeline, gradients, end };

struct event {
    part kind;
    double begin, end;
    double computed = 0;  ///< of it
};
std::vector<std::vector<event>> timeline;  // [P]
std::vector<double> inter_node_bytes;      // [P]: of the exchange, one micro-batch
std::vector<std::vector<double>> alone;    // [P]: a pipelined exchange without computation
double imbalance = 0;                      // of the loads of the members that hold experts
std::size_t chunks_used = 1;
std::string strategy_used;

/// One rank of the job.
class simulated_rank {
  public:
    explicit simulated_rank(const job& j)
        : job_(j),
          world_(MPI_COMM_WORLD, {.deadline = std::nullopt}),
          rank_(static_cast<std::size_t>(world_.rank())),
          nodes_(topology::uniform(j.nodes, j.ranks_per_node)),
          member_(j.member_of(rank_)),
          peers_(split(static_cast<int>(rank_ % j.tensor_parallel))),
          decided_(read(j)) {
        if (j.slots > 0) replicate();
        exchange_.reserve(j.layers);
        for (std::size_t l = 0; l < j.layers; ++l)
            exchange_.emplace_back(on_world() ? world_ : peers_,
                                   on_world() ? nodes_ : j.member_nodes(), placement(l));
        static std::byte* all_rows = nullptr;
        if (all_rows == nullptr) all_rows = static_cast<std::byte*>(SMPI_SHARED_MALLOC(room));
        rows_ = all_rows;
    }
    simulated_rank(const simulated_rank&) = delete;
    simulated_rank& operator=(const simulated_rank&) = delete;

    void step() {
        // Once a job, not at every layer: it hardly changes.
        if (job_.exchange == "chosen") chunks_ = chunk_count_for(make_plan(0, assign_tokens(0)));
        MPI_Barrier(MPI_COMM_WORLD);
        for (std::size_t l = 0; l < job_.layers; ++l) forward(l);
        for (std::size_t l = job_.layers; l-- > 0;) backward(l);
        timed(part::gradients, [&] { sum_gradients(); });
        timed(part::end, [&] { MPI_Barrier(MPI_COMM_WORLD); });
    }

  private:
    static constexpr std::size_t room = std::size_t{256} << 20;  // for any tensor

    bool tensor_parallel() const { return job_.tensor_parallel > 1; }

    /// Tensor-parallel and flat: each rank sends to those of its own index on other nodes.
    bool on_world() const { return !tensor_parallel() || job_.exchange == "chosen"; }

    /// The ranks with one index in their tensor-parallel groups, by member.
    static mpi_backend split(int index) {
        MPI_Comm peers = MPI_COMM_NULL;
        int rank = 0;
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        MPI_Comm_split(MPI_COMM_WORLD, index, rank, &peers);
        return mpi_backend(peers, {.deadline = std::nullopt});  // simulated time is slow
    }

    /// [layers][members]
    static const std::vector<std::vector<routing>>& read(const job& j) {
        static std::vector<std::vector<routing>> all;
        if (!all.empty()) return all;
        std::ifstream file(j.routing, std::ios::binary);
        for (std::size_t l = 0; l < j.layers; ++l) {
            auto& layer = all.emplace_back();
            for (std::size_t m = 0; m < j.members(); ++m) {
                routing r;
                r.token_count = j.tokens;
                r.choice_count = j.choices;
                r.expert_count = j.experts;
                r.chosen.resize(j.tokens * j.choices);
                r.weights.assign(j.tokens * j.choices, 1.0f);
                file.read(reinterpret_cast<char*>(r.chosen.data()),
                          static_cast<std::streamsize>(r.chosen.size() * sizeof(expert_id)));
                layer.push_back(std::move(r));
            }
        }
        if (!file) throw std::runtime_error("cannot read " + j.routing);
        return all;
    }

    /// Each layer by its own loads, each node's own: what a job observes while it trains. The load
    /// cap is tight: the exchange hides under the experts, waiting for the fullest node does not.
    void replicate() {
        static std::vector<replicated_placement> placed;
        const topology nodes = job_.member_nodes();
        for (std::size_t l = placed.size(); l < job_.layers; ++l) {
            const auto& layer = decided_[l];
            std::vector<std::int64_t> loads(job_.nodes * job_.experts, 0);
            std::vector<std::int64_t> before(job_.experts, 0);
            for (std::size_t m = 0; m < layer.size(); ++m) {
                const auto node =
                    static_cast<std::size_t>(nodes.node_of(static_cast<rank_id>(m)));
                const assignment kept =
                    assign(layer[m], {.capacity = capacity(), .before = before});
                for (const expert_id e : kept.expert)
                    if (e != no_expert) ++loads[node * job_.experts + static_cast<std::size_t>(e)];
                const auto counts = count_choices(layer[m]);
                for (std::size_t e = 0; e < before.size(); ++e) before[e] += counts[e];
            }
            placed.push_back(balance_experts({loads.data(), job_.nodes, job_.experts}, nodes,
                                             {.slots_per_rank = job_.slots, .load_cap = 1.0}));
        }
        placed_ = placed;
    }

    /// Of the experts' copies over members.
    expert_placement member_placement(std::size_t l) const {
        return placed_.empty() ? expert_placement::blocked(job_.experts, job_.members())
                               : placed_[l].physical();
    }
    /// The same over the ranks of the exchange; a tensor-parallel group is known by its first rank.
    expert_placement placement(std::size_t l) const {
        const auto members = member_placement(l);
        if (!on_world() || !tensor_parallel()) return members;
        std::vector<rank_id> rank_of;
        for (std::size_t e = 0; e < members.expert_count(); ++e)
            rank_of.push_back(members.rank_of(static_cast<expert_id>(e)) *
                              static_cast<rank_id>(job_.tensor_parallel));
        return expert_placement::from_rank_of_expert(std::move(rank_of), job_.ranks());
    }

    template <class Work>
    void timed(part kind, Work&& work) {
        event e{kind, MPI_Wtime(), 0};
        computed_ = 0;
        work();
        e.end = MPI_Wtime();
        e.computed = computed_;
        timeline[rank_].push_back(e);
    }

    void compute(double flops) {
        const double begin = MPI_Wtime();
        smpi_execute_flops(flops);
        computed_ += MPI_Wtime() - begin;
    }

    /// To one rank and from another. What a ring all-reduce sends step by step goes as one message.
    void pass_on(std::size_t to, std::size_t from, double bytes) {
        const int now = static_cast<int>(std::min(job_.shrunk(bytes), static_cast<double>(room)));
        MPI_Sendrecv(rows_, now, MPI_BYTE, static_cast<int>(to), 0, rows_, now, MPI_BYTE,
                     static_cast<int>(from), 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }

    static double ring_bytes(std::size_t ranks, double bytes) {
        return 2 * static_cast<double>(ranks - 1) / static_cast<double>(ranks) * bytes;
    }

    /// All-reduce over the tensor-parallel group.
    void all_reduce(double bytes) {
        if (!tensor_parallel()) return;
        const std::size_t g = job_.tensor_parallel, first = member_ * g, i = rank_ % g;
        timed(part::inside_node, [&] {
            pass_on(first + (i + 1) % g, first + (i + g - 1) % g, ring_bytes(g, bytes));
        });
    }

    void dense(double times) {
        const auto tokens = static_cast<double>(job_.tokens);
        timed(part::compute, [&] {
            compute(times * tokens * job_.dense_flops / static_cast<double>(job_.tensor_parallel));
        });
        all_reduce(job_.dense_all_reduces * tokens * static_cast<double>(job_.row_bytes));
    }

    double expert_flops(std::size_t rows) const {
        return static_cast<double>(rows) * job_.expert_flops /
               static_cast<double>(job_.tensor_parallel);
    }

    matrix_view<float> tensor(std::size_t rows) const {
        return {reinterpret_cast<float*>(rows_), rows, job_.sent_row_bytes() / sizeof(float)};
    }

    struct layer_state {
        exchange_plan plan;
        std::optional<pipeline<exchanger>> chunked;
        std::vector<float> weights, row_weights;

        const exchange_plan& whole() const { return chunked ? chunked->whole() : plan; }
    };

    assignment assign_tokens(std::size_t l) {
        const routing& chosen = decided_[l][member_];
        if (job_.exchange == "padded") return assign(chosen, {.capacity = padded_rows()});
        assign_options options;
        const auto counts = count_choices(chosen);
        const auto scan = peers_.scan_counts(counts);
        options.before = scan.before;
        options.capacity = capacity();
        const assignment logical = assign(chosen, options);
        if (placed_.empty()) return logical;
        routing kept = chosen;
        kept.chosen = logical.expert;
        return assign(to_physical(kept, placed_[l], static_cast<rank_id>(member_)), {});
    }

    std::optional<std::int64_t> capacity() const {
        if (job_.factor <= 0) return std::nullopt;
        return static_cast<std::int64_t>(capacity_from_factor(
            job_.factor, {job_.members() * job_.tokens * job_.choices, 1, job_.experts}));
    }

    std::int64_t padded_rows() const {
        return std::llround(std::ceil(job_.factor * static_cast<double>(job_.tokens) *
                                      static_cast<double>(job_.choices) /
                                      static_cast<double>(job_.experts)));
    }

    exchange_plan make_plan(std::size_t l, const assignment& assigned) {
        if (job_.exchange == "padded")
            return exchange_[l].plan(assigned, capacity_padded{direct{}, padded_rows()});
        if (job_.exchange == "flat") return exchange_[l].plan(assigned, direct{});
        if (tensor_parallel())
            return exchange_[l].plan(assigned, group_wise{job_.tensor_parallel});
        return best_plan(exchange_[l], assigned,
                         {.row_bytes = job_.sent_row_bytes(), .costs = platform_costs(job_)});
    }

    /// What the plan's phases take where every node has as much to do as the busiest.
    cost_estimate priced(const exchange_plan& plan) const {
        if (plan.choice) return plan.choice->chosen();
        std::vector<double> seconds(plan.dispatch.phases.size());
        for (std::size_t p = 0; p < seconds.size(); ++p) {
            flow one;
            one.phases.push_back(plan.dispatch.phases[p]);
            const traffic sent = count_traffic(one, job_.row_bytes);
            seconds[p] = static_cast<double>(sent.inter_node.bytes) *
                             static_cast<double>(job_.ranks_per_node) / job_.nic_bandwidth +
                         static_cast<double>(sent.intra_node.bytes) / job_.intra_bandwidth;
        }
        MPI_Allreduce(MPI_IN_PLACE, seconds.data(), static_cast<int>(seconds.size()), MPI_DOUBLE,
                      MPI_MAX, MPI_COMM_WORLD);
        cost_estimate all;
        for (std::size_t p = 0; p < seconds.size(); ++p) {
            phase_cost& cost = all.phases.emplace_back();
            cost.tier = p == 0 ? link_tier::inter_node : link_tier::intra_node;
            cost.needs = plan.dispatch.phases[p].needs;
            cost.latency = 5000;
            cost.bytes = std::llround(seconds[p] * 1e9);
        }
        MPI_Allreduce(MPI_IN_PLACE, &all.phases.back().needs, 1, MPI_UINT64_T, MPI_MAX,
                      MPI_COMM_WORLD);
        return all;
    }

    std::size_t chunk_count_for(const exchange_plan& plan) const {
        if (job_.chunks > 0) return job_.chunks;
        double rows = static_cast<double>(plan.expert_row_count());
        MPI_Allreduce(MPI_IN_PLACE, &rows, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        const double seconds = expert_flops(static_cast<std::size_t>(rows)) / job_.flops;
        return chunk_count(pipeline_stages(priced(plan), seconds), 16);
    }

    void forward(std::size_t l) {
        dense(1);
        layer_state& s = states_.emplace_back();
        timed(part::compute, [&] {  // the gate
            compute(2 * static_cast<double>(job_.tokens * job_.experts * job_.row_bytes / 2));
        });
        timed(part::plan, [&] {
            s.plan = make_plan(l, assign_tokens(l));
            chunks_used = chunks_;
            strategy_used = s.plan.strategy;
            if (chunks_ > 1) s.chunked.emplace(exchange_[l].pipeline(std::move(s.plan), chunks_));
        });
        count(s.whole());
        s.weights.assign(job_.tokens * job_.choices, 1.0f);
        const std::size_t tokens = job_.tokens, rows = s.whole().expert_row_count();
        if (s.chunked) {
            const auto expert = [&](const pipeline_chunk& c, const auto&, const auto&) {
                compute(expert_flops(c.plan.expert_row_count()));
            };
            if (l == 0) {  // how long it would take with nothing to hide under
                MPI_Barrier(MPI_COMM_WORLD);
                const double begin = MPI_Wtime();
                s.row_weights = s.chunked->dispatch_weights(s.weights);
                s.chunked->forward(tensor(tokens), tensor(rows),
                                   [](const pipeline_chunk&, const auto&, const auto&) {},
                                   tensor(rows), s.row_weights, tensor(tokens));
                alone[rank_].push_back(MPI_Wtime() - begin);
                MPI_Barrier(MPI_COMM_WORLD);
            }
            timed(part::pipeline, [&] {
                s.row_weights = s.chunked->dispatch_weights(s.weights);
                s.chunked->forward(tensor(tokens), tensor(rows), expert, tensor(rows),
                                   s.row_weights, tensor(tokens));
            });
            return;
        }
        timed(part::exchange, [&] {
            exchange_[l].dispatch(s.plan, tensor(tokens), tensor(rows));
            s.row_weights = exchange_[l].dispatch_weights(s.plan, s.weights);
        });
        timed(part::compute, [&] { compute(expert_flops(rows)); });
        add_up_partial(rows);
        timed(part::exchange,
              [&] { exchange_[l].combine(s.plan, tensor(rows), s.row_weights, tensor(tokens)); });
    }

    void backward(std::size_t l) {
        layer_state& s = states_[l];
        const std::size_t tokens = job_.tokens, rows = s.whole().expert_row_count();
        if (s.chunked) {
            timed(part::pipeline, [&] {
                s.chunked->backward(
                    tensor(tokens), tensor(rows), s.row_weights, tensor(rows),
                    [&](const pipeline_chunk& c, const auto&, const auto&) {
                        compute(2 * expert_flops(c.plan.expert_row_count()));
                    },
                    tensor(rows), tensor(tokens), s.weights);
            });
        } else {
            timed(part::exchange, [&] {
                exchange_[l].combine_backward(s.plan, tensor(tokens), tensor(rows), s.row_weights,
                                            tensor(rows), s.weights);
            });
            timed(part::compute, [&] { compute(2 * expert_flops(rows)); });
            add_up_partial(rows);
            timed(part::exchange,
                  [&] { exchange_[l].dispatch_backward(s.plan, tensor(rows), tensor(tokens)); });
        }
        dense(2);
    }

    /// What the ranks of a tensor-parallel group made of an expert's rows; group_wise does it itself.
    void add_up_partial(std::size_t rows) {
        if (job_.exchange == "chosen") return;
        all_reduce(static_cast<double>(rows) * static_cast<double>(job_.row_bytes));
    }

    void count(const exchange_plan& plan) {
        double bytes = 0;
        for (const flow* rows : {&plan.dispatch, &plan.combine})
            bytes += 2 * static_cast<double>(
                             count_traffic(*rows, job_.row_bytes).inter_node.bytes);
        inter_node_bytes[rank_] += bytes;
        const auto mine = static_cast<double>(plan.expert_row_count());
        double sum = 0, most = 0;
        MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        MPI_Allreduce(&mine, &most, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        imbalance = std::max(imbalance, most * static_cast<double>(job_.ranks()) / sum);
    }

    /// Dense weights over all members; each replicated expert over the members that hold it.
    void sum_gradients() {
        const std::size_t g = job_.tensor_parallel, i = rank_ % g, members = job_.members();
        pass_on((member_ + 1) % members * g + i, (member_ + members - 1) % members * g + i,
                ring_bytes(members, job_.dense_bytes));
        for (const replicated_placement& placed : placed_)
            for (const replica_group& group : placed.replica_groups()) {
                const std::size_t n = group.ranks.size();
                for (std::size_t m = 0; m < n; ++m)
                    if (static_cast<std::size_t>(group.ranks[m]) == member_)
                        pass_on(static_cast<std::size_t>(group.ranks[(m + 1) % n]) * g + i,
                                static_cast<std::size_t>(group.ranks[(m + n - 1) % n]) * g + i,
                                ring_bytes(n, job_.expert_bytes /
                                                  static_cast<double>(job_.layers)));
            }
    }

    job job_;
    mpi_backend world_;
    std::size_t rank_;
    topology nodes_;
    std::size_t member_;
    mpi_backend peers_;
    const std::vector<std::vector<routing>>& decided_;
    std::vector<replicated_placement> placed_;  // [layers]; none: no replicas
    std::vector<exchanger> exchange_;           // [layers]
    std::vector<layer_state> states_;
    std::byte* rows_ = nullptr;
    std::size_t chunks_ = 1;
    double computed_ = 0;
};

/// Seconds of the mean rank: of one micro-batch's layers, and of what comes once a step.
struct parts {
    double compute = 0, inside_node = 0, plan = 0, exchange = 0, overlapped = 0, idle = 0,
           gradients = 0;
};

parts take_apart(const job& j) {
    const std::size_t ranks = timeline.size();
    const auto mean = 1 / static_cast<double>(ranks);
    double alone_seconds = 0;
    for (const auto& mine : alone)
        for (const double seconds : mine) alone_seconds += mean * seconds;
    parts all;
    for (std::size_t i = 0; i < timeline[0].size(); ++i) {
        double last = 0, most_computed = 0, exposed = 0;
        for (const auto& mine : timeline) {
            last = std::max(last, mine[i].begin);
            most_computed = std::max(most_computed, mine[i].computed);
        }
        for (std::size_t r = 0; r < ranks; ++r) {
            const event& e = timeline[r][i];
            double all_here = last;
            if (e.kind == part::inside_node) {
                all_here = 0;
                const std::size_t first = j.member_of(r) * j.tensor_parallel;
                for (std::size_t m = first; m < first + j.tensor_parallel; ++m)
                    all_here = std::max(all_here, timeline[m][i].begin);
            }
            const double waited = std::min(e.end, all_here) - e.begin;
            const double rest = e.end - e.begin - waited;
            if (e.kind == part::compute) {
                all.compute += mean * (e.end - e.begin);
                continue;
            }
            if (e.kind == part::end) {  // for the sums of gradients on other ranks
                all.gradients += mean * (e.end - e.begin);
                continue;
            }
            all.idle += mean * waited;
            if (e.kind == part::inside_node) all.inside_node += mean * rest;
            if (e.kind == part::plan) all.plan += mean * rest;
            if (e.kind == part::exchange) all.exchange += mean * rest;
            if (e.kind == part::gradients) all.gradients += mean * rest;
            if (e.kind != part::pipeline) continue;
            const double others = std::min(rest - e.computed, most_computed - e.computed);
            all.compute += mean * e.computed;
            all.idle += mean * others;
            exposed += mean * (rest - e.computed - others);
        }
        if (timeline[0][i].kind == part::pipeline) {
            all.exchange += exposed;
            all.overlapped += std::max(0.0, alone_seconds - exposed);
        }
    }
    return all;
}

}  // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    try {
        const job j = parse(argc, argv);
        int rank = 0;
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        timeline.resize(j.ranks());
        inter_node_bytes.resize(j.ranks());
        alone.resize(j.ranks());
        {
            simulated_rank mine(j);
            mine.step();
            MPI_Barrier(MPI_COMM_WORLD);  // all have written down when they ended
        }
        if (rank == 0) {
            const parts p = take_apart(j);
            double bytes = 0;
            for (const double b : inter_node_bytes) bytes += b;
            std::printf("{\"layers\": %zu, \"compute\": %.9g, \"inside_node\": %.9g, \"plan\": %.9g, "
                        "\"exchange\": %.9g, \"overlapped\": %.9g, \"idle\": %.9g, "
                        "\"gradients\": %.9g, \"inter_node_bytes\": %.9g, \"imbalance\": %.6g, "
                        "\"chunks\": %zu, \"strategy\": \"%s\"}\n",
                        j.layers, p.compute, p.inside_node, p.plan, p.exchange, p.overlapped,
                        p.idle, p.gradients, bytes, imbalance, chunks_used, strategy_used.c_str());
        }
    } catch (const std::exception& e) {
        std::fprintf(stderr, "smpi_step: %s\n", e.what());
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Finalize();
}
