#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "locmoe/exec/calibrate.hpp"
#include "locmoe/exec/exchange_trace.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/traced_backend.hpp"

#include "blas.hpp"
#include "exchange_page.hpp"
#include "loss_curves.hpp"
#include "ngram_baseline.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "training.hpp"
#if LOCMOE_TRAINER_WITH_BOOST_MATH
#include "capacity_plot.hpp"
#endif
#if LOCMOE_TRAINER_WITH_MPI
#include <boost/mpi.hpp>

#include "locmoe/adapt/boost_mpi.hpp"
#endif

namespace {

using namespace trainer;

/// What every rank reads before it starts.
struct corpus {
    std::vector<domain> domains;
    std::vector<std::int64_t> byte_counts = std::vector<std::int64_t>(256, 0);

    explicit corpus(const std::string& folder) : domains(read_domains(folder)) {
        for (const text& t : all(&domain::training))
            for (const std::uint8_t byte : t) ++byte_counts[byte];
    }

    std::vector<text> all(std::vector<text> (domain::*part)() const) const {
        std::vector<text> texts;
        for (const domain& d : domains)
            for (const text& t : (d.*part)()) texts.push_back(t);
        return texts;
    }
};

/// Throws argument_error where a router gives each domain experts of its own and there are too few.
void check_experts(const options& o, const corpus& read) {
    for (const router_kind kind : o.routers)
        if (asks_for_domains(kind) && o.training.shape.experts < read.domains.size())
            throw locmoe::argument_error(
                std::string("--experts: --router ") + router_name(kind) +
                " needs one for each of " + std::to_string(read.domains.size()) +
                " domains at least, got " + std::to_string(o.training.shape.experts));
}

/// Rank 0's work before the training: what is to be done, and the baseline.
run_report begin(const options& o, const corpus& read) {
    const training_options& t = o.training;
    std::printf(
        "%zu ranks on %zu nodes (%s), %zu experts, %zu layers of width %zu, %s shards, capacity "
        "%s\n",
        o.nodes * o.ranks_per_node, o.nodes, o.backend.c_str(), t.shape.experts, t.shape.layers,
        t.shape.width, t.shuffled ? "shuffled" : "by-domain", o.capacity.c_str());
    std::printf("%zu steps of %zu bytes for each router\n", t.steps,
                o.nodes * o.ranks_per_node * t.sequences * t.shape.context);
    for (const domain& d : read.domains) {
        std::size_t bytes = 0, held = 0;
        for (const text& part : d.training()) bytes += part.size();
        for (const text& part : d.held_out()) held += part.size();
        std::printf("  %-12s %8zu bytes to train on, %7zu held out\n", d.name.c_str(), bytes, held);
    }
    if (blas_core() == "Prescott")
        std::printf(
            "note: OpenBLAS takes this processor for an old one; with OPENBLAS_CORETYPE=Haswell or "
            "SkylakeX set, products run 2 to 4 times faster\n");
    std::fflush(stdout);
    run_report report;
    report.order2_bits_per_byte =
        ngram_baseline(read.all(&domain::training)).bits_per_byte(read.all(&domain::held_out));
    return report;
}

/// The figure of a run's capacity; none where its router has no gating weights.
std::string capacity_figure([[maybe_unused]] const measured_step& last,
                            [[maybe_unused]] const model_shape& shape) {
#if LOCMOE_TRAINER_WITH_BOOST_MATH
    if (last.delta.count() > 0) return locmoe::to_svg(capacity_report_of(last, shape));
#endif
    return "";
}

/// What `--trace` and `--page` ask for, of the last router's last step. Collective.
template <class Backend>
void write_pictures(locmoe::traced_backend<Backend>& traced, const locmoe::topology& nodes,
                    const options& o, const std::string& router, const measured_step& last) {
    if (!o.trace.empty()) {
        const auto traces = locmoe::gather_traces(traced, traced.trace());
        if (traced.rank() == 0) write_file(locmoe::trace_json(traces, nodes), o.trace);
    }
    if (!o.page.empty())
        write_exchange_page(traced, nodes, last.kept, last.strategy,
                            o.training.shape.width * sizeof(float), traced.trace(),
                            "The last step of " + router,
                            capacity_figure(last, o.training.shape), o.page);
}

/// One rank's run with each router.
template <class Backend>
void run_rank(Backend& backend, const options& o, const corpus& read, run_report& report) {
    const auto nodes = locmoe::topology::uniform(o.nodes, o.ranks_per_node);
    training_options t = o.training;
    if (t.strategy == row_strategy::best) t.costs = locmoe::calibrate(backend, nodes).costs;
    for (const router_kind kind : o.routers) {
        t.router = kind;
        locmoe::traced_backend traced(backend);
        rank_trainer<float, locmoe::traced_backend<Backend>> trainer(traced, nodes, t, read.domains,
                                                                     read.byte_counts);
        progress bar(router_name(kind), t.steps);
        const bool shows = backend.rank() == 0;
        auto result = trainer.run([&](std::size_t step, double bits) {
            if (shows) bar.show(step, bits);
        });
        if (kind == o.routers.back()) write_pictures(traced, nodes, o, result.name, result.last);
        if (shows) report.routers.push_back(std::move(result));
        if (!o.record.empty())
            write_choices(trainer.recorded(), o.record + '/' + router_name(kind) + '.' +
                                                  std::to_string(backend.rank()));
    }
}

void finish(const options& o, const run_report& report) {
    print_table(report);
    if (!o.json.empty()) write_json(report, o.json);
    if (!o.curves.empty()) write_file(loss_curves_svg(report), o.curves);
#if LOCMOE_TRAINER_WITH_BOOST_MATH
    if (!o.capacity_report.empty()) {
        const router_report& last = report.routers.back();
        report_capacity(last.name, last.last, o.training.shape, o.capacity_report);
    }
#endif
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
        throw locmoe::error("cannot write to standard output");
}

int train_in_process(const options& o) {
    const corpus read(o.data);
    check_experts(o, read);
    run_report report = begin(o, read);
    locmoe::run_in_process(o.nodes * o.ranks_per_node, [&](locmoe::in_process_backend& backend) {
        run_rank(backend, o, read, report);
    });
    finish(o, report);
    return 0;
}

#if LOCMOE_TRAINER_WITH_MPI
int train_over_mpi(const options& o) {
    const boost::mpi::environment environment(boost::mpi::threading::single, false);
    const boost::mpi::communicator world;
    const std::size_t ranks = o.nodes * o.ranks_per_node;
    if (static_cast<std::size_t>(world.size()) != ranks) {
        if (world.rank() == 0)
            std::fprintf(
                stderr,
                "locmoe_train: --backend mpi: %zu nodes of %zu ranks need mpirun -n %zu, got "
                "%d ranks\n",
                o.nodes, o.ranks_per_node, ranks, world.size());
        return 2;
    }
    try {
        const corpus read(o.data);
        check_experts(o, read);
        run_report report;
        if (world.rank() == 0) report = begin(o, read);
        locmoe::boost_mpi_backend backend(world);
        run_rank(backend, o, read, report);
        if (world.rank() == 0) finish(o, report);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "locmoe_train: rank %d: %s\n", world.rank(), e.what());
        boost::mpi::environment::abort(1);  // the other ranks may be waiting for this one
        return 1;
    }
}
#else
int train_over_mpi(const options&) {
    std::fputs("locmoe_train: --backend mpi: this program was built without Boost.MPI\n", stderr);
    return 2;
}
#endif

/// Whether mpirun started this process as another rank than 0: all ranks read the same command
/// line, one says what is wrong with it.
bool is_silent_rank() {
    for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"})
        if (const char* rank = std::getenv(variable)) return std::string_view(rank) != "0";
    return false;
}

}  // namespace

int main(int argc, char** argv) {
    use_one_blas_thread();
    const auto parsed = parse_options(argc, argv, LOCMOE_TRAINER_DATA, is_silent_rank());
    if (!parsed.run) return parsed.exit_code;
    if (parsed.run->backend == "mpi") return train_over_mpi(*parsed.run);
    try {
        return train_in_process(*parsed.run);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "locmoe_train: %s\n", e.what());
        return 1;
    }
}
