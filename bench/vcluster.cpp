// Exchanges and training steps on a cluster of 4 nodes whose links carry 200 Mbit/s, over MPI:
// `bench/run.sh vcluster` sets one up on one machine (cluster/vcluster.sh), with 4 ranks on each
// node. Everything is measured with 2 ranks of a node, then with 4.
//
// The rival is MPI_Alltoallv. Its rows are packed and placed by the library's own kernels, which
// are no slower than those by hand, and it is told all counts by the library's plan.
//
// Timed from a barrier to the last rank's end, rivals in turn; medians of 7. A ratio to a rival is
// the median of the ratios of each turn.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "locmoe/adapt/mpi.hpp"  // with mpi.h
#include "locmoe/exec/best_plan.hpp"
#include "locmoe/exec/calibrate.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/tensor/standard.hpp"

#include "blas.hpp"
#include "rows.hpp"
#include "text_data.hpp"
#include "training.hpp"

namespace {

using namespace locmoe;

constexpr std::size_t node_count = 4;
constexpr double link_bandwidth = 200e6 / 8;  // bytes a second of a node, packets' headers included
constexpr int repetitions = 7;

/// The library's MPI backend, which can also do each transfer by one MPI_Alltoallv.
class rival_backend : public mpi_backend {
  public:
    explicit rival_backend(MPI_Comm communicator)
        : mpi_backend(communicator), communicator_(communicator) {}

    bool by_alltoallv = false;

    transfer start(std::span<const send_block> sends, std::span<const receive_block> receives,
                   std::span<const receive_block> paced = {}, std::size_t window = 0) {
        if (!by_alltoallv) return mpi_backend::start(sends, receives, paced, window);
        out_.clear();
        in_.clear();
        for (const send_block& b : sends) out_.push_back({b.to, b.data, b.bytes});
        for (const receive_block& b : receives) in_.push_back({b.from, b.data, b.bytes});
        const std::byte* const from = list(out_, send_counts_, send_at_);
        const std::byte* const to = list(in_, receive_counts_, receive_at_);
        MPI_Alltoallv(from, send_counts_.data(), send_at_.data(), MPI_BYTE,
                      const_cast<std::byte*>(to), receive_counts_.data(), receive_at_.data(),
                      MPI_BYTE, communicator_);
        return mpi_backend::start({}, {});
    }

  private:
    struct block {
        rank_id peer;
        const std::byte* data;
        std::size_t bytes;
    };

    /// Counts and places by peer; gives what the places start from.
    const std::byte* list(const std::vector<block>& blocks, std::vector<int>& counts,
                          std::vector<int>& places) const {
        counts.assign(rank_count(), 0);
        places.assign(rank_count(), 0);
        const std::byte* first = blocks.empty() ? nullptr : blocks[0].data;
        for (const block& b : blocks) first = std::min(first, b.data);
        for (const block& b : blocks) {
            counts[static_cast<std::size_t>(b.peer)] = static_cast<int>(b.bytes);
            places[static_cast<std::size_t>(b.peer)] = static_cast<int>(b.data - first);
        }
        return first;
    }

    MPI_Comm communicator_;
    std::vector<block> out_, in_;
    std::vector<int> send_counts_, send_at_, receive_counts_, receive_at_;
};

/// Waits without taking the processor from the ranks that work.
void sleep_until_all_here(MPI_Comm communicator) {
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Ibarrier(communicator, &request);
    for (int here = 0; !here;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        MPI_Test(&request, &here, MPI_STATUS_IGNORE);
    }
}

/// Milliseconds from a barrier until the last rank is through.
template <class Work>
double timed(MPI_Comm communicator, Work&& work) {
    MPI_Barrier(communicator);
    const double start = MPI_Wtime();
    work();
    const double mine = MPI_Wtime() - start;
    double longest = 0;
    MPI_Allreduce(&mine, &longest, 1, MPI_DOUBLE, MPI_MAX, communicator);
    return longest * 1e3;
}

double quantile(std::vector<double> values, double fraction) {
    std::sort(values.begin(), values.end());
    const double last = static_cast<double>(values.size() - 1);
    return values[static_cast<std::size_t>(fraction * last + 0.5)];
}
double median(const std::vector<double>& values) {
    return quantile(values, 0.5);
}
double spread(const std::vector<double>& values) {
    return (quantile(values, 0.75) - quantile(values, 0.25)) / median(values);
}
/// How many times `of` the `by` is: the median of turn by turn.
double ratio(const std::vector<double>& of, const std::vector<double>& by) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < of.size(); ++i) ratios.push_back(of[i] / by[i]);
    return median(ratios);
}

double ms(std::int64_t nanoseconds) {
    return static_cast<double>(nanoseconds) * 1e-6;
}

const cost_estimate& price_of(const plan_choice& choice, std::string_view strategy) {
    for (const cost_estimate& c : choice.candidates)
        if (c.strategy == strategy) return c;
    return choice.chosen();
}

/// One of the two sizes of the cluster, on those of its ranks that take part.
struct cluster {
    MPI_Comm communicator;
    std::string name;
    rival_backend& backend;
    topology nodes;
    cluster_costs costs;
    std::size_t predictions = 0;  // of exchanges
    std::size_t close = 0;        // within 20 % of what was measured

    void predicted(const std::string& what, double prediction, double measured,
                   bench::report& report) {
        const double fits = std::min(prediction / measured, measured / prediction);
        report.add({what + ", predicted", prediction, "ms", "measured", measured, fits});
        ++predictions;
        close += prediction > 0.8 * measured && prediction < 1.2 * measured;
    }
};

struct exchange_cell {
    const char* name;
    std::size_t node_tokens;
    std::size_t choices;
    std::size_t row_bytes;
    double skew;  // expert e is 1 / (e + 1)^skew times as likely as expert 0, in some order
};

constexpr std::size_t exchange_experts = 64;

assignment drawn(const exchange_cell& cell, std::size_t tokens, rank_id rank) {
    std::vector<expert_id> order(exchange_experts);
    std::iota(order.begin(), order.end(), 0);
    std::mt19937_64 same(7);  // on all ranks
    std::shuffle(order.begin(), order.end(), same);
    std::vector<double> shares;
    for (std::size_t e = 0; e < exchange_experts; ++e)
        shares.push_back(std::pow(static_cast<double>(e + 1), -cell.skew));
    std::discrete_distribution<std::size_t> draw(shares.begin(), shares.end());
    std::mt19937_64 random(static_cast<std::uint64_t>(rank) + 1);
    routing decided;
    decided.token_count = tokens;
    decided.choice_count = cell.choices;
    decided.expert_count = exchange_experts;
    decided.weights.assign(tokens * cell.choices, 1.0f);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t slot = 0; slot < cell.choices; ++slot) {
            const auto of_token = decided.chosen.end() - static_cast<std::ptrdiff_t>(slot);
            expert_id e = order[draw(random)];
            while (std::find(of_token, decided.chosen.end(), e) != decided.chosen.end())
                e = order[draw(random)];
            decided.chosen.push_back(e);
        }
    return assign(decided);
}

/// Milliseconds that the busiest link needs for the rows that the ranks' plans send between nodes.
double link_ms(const cluster& on, const exchange_plan& plan, std::size_t row_bytes) {
    std::vector<std::int64_t> rows(2 * node_count, 0);  // out, in
    const auto home = static_cast<std::size_t>(on.nodes.node_of(plan.rank));
    for (const phase& p : plan.dispatch.phases)
        for (const segment& s : p.sends)
            if (s.tier == link_tier::inter_node) {
                rows[2 * home] += s.rows;
                rows[2 * static_cast<std::size_t>(on.nodes.node_of(s.peer)) + 1] += s.rows;
            }
    const auto total = on.backend.scan_counts(rows).total;
    const auto most = static_cast<double>(*std::max_element(total.begin(), total.end()));
    return most * static_cast<double>(row_bytes) / link_bandwidth * 1e3;
}

/// Dispatch and combine by `direct`, by the chosen plan and by MPI_Alltoallv.
void compare_exchanges(cluster& on, const exchange_cell& cell, bench::report& report) {
    const std::size_t tokens = cell.node_tokens * node_count / on.nodes.rank_count();
    const std::size_t cols = cell.row_bytes / sizeof(float);
    executor exchange(on.backend, on.nodes,
                      expert_placement::blocked(exchange_experts, on.nodes.rank_count()));
    const assignment assigned = drawn(cell, tokens, on.backend.rank());
    const exchange_plan best =
        best_plan(exchange, assigned, {.row_bytes = cell.row_bytes, .costs = on.costs});
    const exchange_plan flat = exchange.plan(assigned, direct{});

    std::vector<float> x(tokens * cols, 1.0f), y(tokens * cols);
    std::vector<float> rows(flat.expert_row_count() * cols);
    const matrix_view<const float> tokens_in{x.data(), tokens, cols};
    const matrix_view<float> tokens_out{y.data(), tokens, cols};
    const matrix_view<float> expert_rows{rows.data(), flat.expert_row_count(), cols};
    enum way { by_direct, by_best, by_rival, ways };
    std::vector<double> dispatches[ways], combines[ways];
    for (int i = 0; i < repetitions; ++i)
        for (std::size_t w = 0; w < ways; ++w) {
            const exchange_plan& plan = w == by_best ? best : flat;
            on.backend.by_alltoallv = w == by_rival;
            dispatches[w].push_back(
                timed(on.communicator, [&] { exchange.dispatch(plan, tokens_in, expert_rows); }));
            combines[w].push_back(timed(on.communicator, [&] {
                exchange.combine(plan, expert_rows, std::vector<float>(), tokens_out);
            }));
        }
    on.backend.by_alltoallv = false;

    const double flat_ms = link_ms(on, flat, cell.row_bytes);
    const double bound_ms =
        ms(best.choice->lower_bound) * on.costs.inter_node.nic_bandwidth / link_bandwidth;
    const std::string name = on.name + ", " + cell.name;
    for (const bool out : {true, false}) {
        const auto& times = out ? dispatches : combines;
        const std::string what = name + (out ? ", dispatch" : ", combine");
        const double promised = flat_ms / bound_ms;
        report.add(
            {what + ", " + best.strategy, median(times[by_best]), "ms", "MPI_Alltoallv",
             median(times[by_rival]), ratio(times[by_rival], times[by_best]),
             cell.choices >= 4 && cell.skew == 0 ? std::optional(0.8 * promised) : std::nullopt,
             spread(times[by_best])});
        if (best.strategy != flat.strategy)
            report.add({what + ", direct", median(times[by_direct]), "ms", "MPI_Alltoallv",
                        median(times[by_rival]), ratio(times[by_rival], times[by_direct]),
                        std::nullopt, spread(times[by_direct])});
        report.add({what + ", share of the links' bandwidth", median(times[by_best]), "ms",
                    "each row once a node", bound_ms, bound_ms / median(times[by_best]),
                    cell.choices == 1 && out ? std::optional(1 / 1.15) : std::nullopt});
        on.predicted(what + ", " + best.strategy, ms(best.choice->chosen().nanoseconds),
                     median(times[by_best]), report);
        if (best.strategy != flat.strategy)
            on.predicted(what + ", direct", ms(price_of(*best.choice, "direct").nanoseconds),
                         median(times[by_direct]), report);
    }
}

/// The trainer's model, small where all ranks share it: summing up the gradients of 173,000 numbers
/// takes the same time whoever exchanges the rows.
trainer::training_options step_options() {
    trainer::training_options o;
    o.shape.width = 128;
    o.shape.inner = 128;
    o.shape.layers = 1;
    o.shape.reach = 2;
    o.shape.experts = 16;
    o.mu = 0.3;
    return o;
}
constexpr std::size_t node_sequences = 128;  // a step, of the timed ones
constexpr std::array step_routers = {trainer::router_kind::hash, trainer::router_kind::switch_,
                                     trainer::router_kind::locmoe};

/// What a model has learned, by parameter.
struct learned {
    std::map<std::string, std::vector<float>> values;
    double heldout_bits_per_byte = 0;
};

struct corpus {
    std::vector<trainer::domain> domains = trainer::read_domains(LOCMOE_BENCH_DATA);
    std::vector<std::int64_t> byte_counts = std::vector<std::int64_t>(256, 0);

    corpus() {
        for (const trainer::domain& d : domains)
            for (const trainer::text& t : d.training())
                for (const std::uint8_t byte : t) ++byte_counts[byte];
    }
};

/// Trains in this process, one thread a node: what is learned does not depend on where.
learned train(trainer::router_kind kind, const corpus& read) {
    trainer::training_options o = step_options();
    o.router = kind;
    o.steps = 800;
    o.sequences = 8;
    learned all;
    std::mutex one_by_one;
    run_in_process(node_count, [&](in_process_backend& backend) {
        trainer::rank_trainer<float, in_process_backend> rank(
            backend, topology::uniform(node_count, 1), o, read.domains, read.byte_counts);
        for (std::size_t s = 0; s < o.steps; ++s) rank.step();
        const double bits = rank.evaluate();
        const std::lock_guard guard(one_by_one);
        all.heldout_bits_per_byte = bits;
        for (trainer::parameter<float>* p : rank.model().parameters().all())
            all.values[p->name].assign(p->values().begin(), p->values().end());
    });
    return all;
}

/// Rank 0's to all others, which sleep until it is there.
void share(learned& model) {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    std::string names;
    std::vector<float> numbers;
    for (const auto& [name, values] : model.values) {
        names += name + " " + std::to_string(values.size()) + "\n";
        numbers.insert(numbers.end(), values.begin(), values.end());
    }
    std::uint64_t sizes[] = {names.size(), numbers.size()};
    sleep_until_all_here(MPI_COMM_WORLD);
    MPI_Bcast(sizes, 2, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    names.resize(sizes[0]);
    numbers.resize(sizes[1]);
    MPI_Bcast(names.data(), static_cast<int>(sizes[0]), MPI_CHAR, 0, MPI_COMM_WORLD);
    MPI_Bcast(numbers.data(), static_cast<int>(sizes[1]), MPI_FLOAT, 0, MPI_COMM_WORLD);
    if (rank == 0) return;
    const float* next = numbers.data();
    for (std::size_t at = 0; at < names.size();) {
        const std::size_t space = names.find(' ', at), end = names.find('\n', at);
        const std::size_t count = std::stoul(names.substr(space + 1, end - space - 1));
        model.values[names.substr(at, space - at)].assign(next, next + count);
        next += count;
        at = end + 1;
    }
}

/// Training steps with each router, exchanged in each way.
void compare_steps(cluster& on, std::span<const learned> models, const corpus& read,
                   bench::report& report) {
    using rank_trainer = trainer::rank_trainer<float, rival_backend>;
    trainer::training_options o = step_options();
    o.sequences = node_sequences * node_count / on.nodes.rank_count();
    o.steps = std::size_t{1} << 30;  // of which the first few learn next to nothing
    o.costs = on.costs;
    std::vector<std::unique_ptr<rank_trainer>> trainers;
    for (std::size_t r = 0; r < step_routers.size(); ++r) {
        o.router = step_routers[r];
        trainers.push_back(std::make_unique<rank_trainer>(on.backend, on.nodes, o, read.domains,
                                                          read.byte_counts));
        for (trainer::parameter<float>* p : trainers.back()->model().parameters().all()) {
            const std::vector<float>& from = models[r].values.at(p->name);
            std::copy(from.begin(), from.end(), p->values().begin());
        }
    }

    enum way { by_direct, by_best, by_rival, ways };
    struct measured {
        std::vector<double> step, exchange, plan;  // ms; the parts are means over the ranks
        double predicted = 0;                      // the exchange
    };
    std::vector<std::array<measured, ways>> results(trainers.size());
    const auto step = [&](std::size_t r, std::size_t w, bool counts) {
        trainer::step_clock before = trainers[r]->environment().clock;
        trainers[r]->environment().strategy =
            w == by_best ? trainer::row_strategy::best : trainer::row_strategy::direct;
        on.backend.by_alltoallv = w == by_rival;
        const double took = timed(on.communicator, [&] { trainers[r]->step(); });
        on.backend.by_alltoallv = false;
        if (w == by_best) {  // rows travel four times: out and home, and their gradients
            const plan_choice& choice = *trainers[r]->environment().plan->choice;
            results[r][by_best].predicted = 4 * ms(choice.chosen().nanoseconds);
            results[r][by_direct].predicted = 4 * ms(price_of(choice, "direct").nanoseconds);
        }
        const trainer::step_clock& after = trainers[r]->environment().clock;
        double parts[2];
        for (std::size_t i = 0; i < 2; ++i) {
            const auto part = i == 0 ? trainer::step_part::exchange : trainer::step_part::plan;
            parts[i] = 1e3 * (after.seconds(part) - before.seconds(part));
        }
        MPI_Allreduce(MPI_IN_PLACE, parts, 2, MPI_DOUBLE, MPI_SUM, on.communicator);
        if (!counts) return;
        const auto ranks = static_cast<double>(on.nodes.rank_count());
        measured& m = results[r][w];
        m.step.push_back(took);
        m.exchange.push_back(parts[0] / ranks);
        m.plan.push_back(parts[1] / ranks);
    };
    for (int i = -1; i < repetitions; ++i)  // the first one sets up
        for (std::size_t r = 0; r < trainers.size(); ++r)
            for (std::size_t w = 0; w < ways; ++w) step(r, w, i >= 0);

    for (std::size_t r = 0; r < trainers.size(); ++r) {
        const trainer::moe_statistics& own = trainers[r]->statistics();
        std::int64_t counts[] = {own.chosen, own.dropped, own.kept_on_node};
        MPI_Allreduce(MPI_IN_PLACE, counts, 3, MPI_INT64_T, MPI_SUM, on.communicator);
        const auto part = [&](std::int64_t n) {
            return 100 * static_cast<double>(n) / static_cast<double>(counts[0]);
        };
        const std::string router = trainer::router_name(step_routers[r]);
        const measured& rival = results[r][by_rival];
        std::printf(
            "%s, %s: %.0f %% of the rows stay on their node, %.1f %% are dropped; planning "
            "takes %.1f ms (direct), %.1f ms (chosen)\n",
            on.name.c_str(), router.c_str(), part(counts[2]), part(counts[1]),
            median(results[r][by_direct].plan), median(results[r][by_best].plan));
        const char* names[] = {"direct", "chosen plan"};
        for (std::size_t w = 0; w < 2; ++w) {
            const measured& m = results[r][w];
            report.add({on.name + ", step, " + router + ", " + names[w], median(m.step), "ms",
                        "MPI_Alltoallv", median(rival.step), ratio(rival.step, m.step),
                        std::nullopt, spread(m.step)});
            const double exchange = median(m.exchange);
            report.add(
                {on.name + ", exchange of a step, " + router + ", " + names[w] + ", predicted",
                 m.predicted, "ms", "measured, with waiting", exchange,
                 std::min(m.predicted / exchange, exchange / m.predicted)});
        }
    }
    const measured& flat_switch = results[1][by_rival];
    const measured& ours = results[2][by_best];
    report.add({on.name + ", exchange's share of a step, switch with MPI_Alltoallv",
                median(flat_switch.exchange), "ms", "the step", median(flat_switch.step),
                median(flat_switch.exchange) / median(flat_switch.step), 0.3});
    report.add({on.name + ", step, locmoe with the chosen plan", median(ours.step), "ms",
                "switch with MPI_Alltoallv", median(flat_switch.step),
                ratio(flat_switch.step, ours.step), 1.3, spread(ours.step)});
}

int run(bench::report& report) {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    const topology all = node_topology(MPI_COMM_WORLD);
    const corpus read;
    std::vector<learned> models(step_routers.size());
    for (std::size_t r = 1; r < models.size(); ++r) {
        if (rank == 0) models[r] = train(step_routers[r], read);
        share(models[r]);
    }
    models[0] = models[1];  // where rows go by hash does not learn
    for (std::size_t r = 1; r < models.size(); ++r)
        std::printf("%s: %.3f bits a held-out byte\n", trainer::router_name(step_routers[r]),
                    models[r].heldout_bits_per_byte);
    std::size_t predictions = 0, close = 0;
    for (const std::size_t ranks : {2u, 4u}) {
        const bool takes_part = all.local_index(rank) < ranks;
        MPI_Comm communicator = MPI_COMM_NULL;
        MPI_Comm_split(MPI_COMM_WORLD, takes_part ? 0 : MPI_UNDEFINED, rank, &communicator);
        if (takes_part) {
            {
                rival_backend backend(communicator);
                cluster on{communicator,
                           "4x" + std::to_string(ranks),
                           backend,
                           node_topology(communicator),
                           {}};
                const calibration found = calibrate(backend, on.nodes, {.seconds = 6});
                on.costs = found.costs;
                std::printf("%s: %s", on.name.c_str(), describe(found).c_str());
                for (const exchange_cell& cell : {exchange_cell{"top-1, 4 KiB", 1024, 1, 4096, 0},
                                                  {"top-2, 4 KiB", 512, 2, 4096, 0},
                                                  {"top-4, 2 KiB", 512, 4, 2048, 0},
                                                  {"top-8, 2 KiB", 512, 8, 2048, 0},
                                                  {"top-8 skewed, 2 KiB", 256, 8, 2048, 1}})
                    compare_exchanges(on, cell, report);
                compare_steps(on, models, read, report);
                predictions += on.predictions;
                close += on.close;
            }
            MPI_Comm_free(&communicator);
        }
        sleep_until_all_here(MPI_COMM_WORLD);
    }
    report.add({"predicted within 20 % of what was measured", static_cast<double>(close), "cells",
                "all", static_cast<double>(predictions),
                static_cast<double>(close) / static_cast<double>(predictions), 0.9});
    return report.finish();
}

}  // namespace

int main(int argc, char** argv) {
    trainer::use_one_blas_thread();
    MPI_Init(&argc, &argv);
    int rank = 0, ranks = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    // One voice is enough.
    if (rank != 0 && std::freopen("/dev/null", "w", stdout) == nullptr) return 1;
    if (rank != 0) argc = 1;  // and one file
    bench::report report("vcluster", argc, argv);
    int code = 2;
    if (ranks == 16)
        code = run(report);
    else if (rank == 0)
        std::fprintf(stderr, "vcluster: needs 4 ranks on each of 4 nodes: bench/run.sh vcluster\n");
    MPI_Finalize();
    return code;
}
