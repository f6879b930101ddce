#include "locmoe/exec/traced_backend.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/simulated.hpp"
#include "locmoe/exec/simulated_kernels.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "exec/executor_laws.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

constexpr std::size_t cols = 64;

/// Each rank dispatches and combines, and rank 0 gets the traces.
template <class Backend, class Kernels, class Strategy>
std::vector<exchange_trace> traced_job(Backend& backend, Kernels kernels,
                                       const random_cases::job& job, const Strategy& strategy) {
    traced_backend traced(backend);
    executor<traced_backend<Backend>, Kernels> ex(traced, job.nodes, job.placement, kernels);
    exchange_plan plan;
    traced.run("plan", [&] {
        plan = ex.plan(job.assigned[static_cast<std::size_t>(backend.rank())], strategy);
    });
    std::vector<float> x(plan.token_count * cols), rows(plan.expert_row_count() * cols);
    traced.run("dispatch", [&] { ex.dispatch(plan, as_matrix(x, cols), as_matrix(rows, cols)); },
               {&plan.dispatch});
    traced.run(
        "combine",
        [&] { ex.combine(plan, as_matrix(rows, cols), std::vector<float>{}, as_matrix(x, cols)); },
        {&plan.combine});
    return gather_traces(traced, traced.trace());
}

/// What follows `"name": ` in an event, without quotes; empty where it has no such field.
std::string field(const std::string& event, const std::string& name) {
    const std::size_t at = event.find('"' + name + "\": ");
    if (at == std::string::npos) return "";
    const std::string rest = event.substr(at + name.size() + 4);
    if (rest[0] == '"') return rest.substr(1, rest.find('"', 1) - 1);
    return rest.substr(0, rest.find_first_of(",}"));
}

/// Has each event the fields that the Trace Event Format asks of its kind, each process and track
/// a name, and each track slices that lie in each other or apart, to the nanosecond? Returns how
/// many slices there are.
std::size_t check_events(const std::string& json) {
    struct slice {
        std::int64_t begin, end;
    };
    std::map<std::string, std::vector<slice>> tracks;
    std::set<std::string> named;
    std::istringstream lines(json);
    std::string event;
    std::getline(lines, event);
    CHECK(event == R"({"displayTimeUnit": "ns", "traceEvents": [)");
    std::size_t slices = 0;
    while (std::getline(lines, event) && event != "]}") {
        INFO(event);
        const std::string pid = field(event, "pid");
        const std::string track = pid + " " + field(event, "tid");
        CHECK_FALSE(pid.empty());
        CHECK(track.back() != ' ');
        CHECK_FALSE(field(event, "name").empty());
        if (field(event, "ph") == "M") {
            CHECK_FALSE(field(event.substr(event.find("args")), "name").empty());
            named.insert(field(event, "name") == "process_name" ? pid : track);
            continue;
        }
        ++slices;
        CHECK(field(event, "ph") == "X");
        CHECK_FALSE(field(event, "cat").empty());
        CHECK(named.count(pid) == 1);
        CHECK(named.count(track) == 1);
        const std::int64_t begin = std::llround(std::stod(field(event, "ts")) * 1e3);
        const slice next{begin, begin + std::llround(std::stod(field(event, "dur")) * 1e3)};
        CHECK(next.begin >= 0);
        CHECK(next.end >= next.begin);
        for (const slice& s : tracks[track]) {
            const bool apart = s.end <= next.begin || next.end <= s.begin;
            const bool within = s.begin <= next.begin && next.end <= s.end;
            CHECK((apart || within));
        }
        tracks[track].push_back(next);
    }
    return slices;
}

}  // namespace

TEST_CASE("a traced backend keeps the laws of a backend", "[exec]") {
    for (const std::size_t ranks : {1u, 3u})
        CHECK_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            traced_backend traced(backend);
            backend_laws::transfers_arrive(traced, 1);
            traced.run("laws", [&] {
                backend_laws::transfers_arrive(traced, 2);
                backend_laws::windows_let_all_arrive(traced, 3);
            });
            backend_laws::messages_arrive(traced, 4);
            backend_laws::counts_add_up(traced, 5);
            backend_laws::ranks_agree(traced);
            backend_laws::calls_do_not_mix(traced, 6);
        }));
}

TEST_CASE("what is measured on a simulated cluster is what simulate predicts", "[exec]") {
    for (std::uint32_t seed = 0; seed < 12; ++seed) {
        const auto job = random_cases::job_on(4 + seed % 3, seed);
        const auto plans = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        std::vector<exchange_trace> traces;
        run_simulated(job.nodes, {},
                      [&](simulated_backend& backend) {
                          auto all = traced_job(backend, simulated_kernels(backend), job,
                                                node_aggregated{});
                          if (backend.rank() == 0) traces = std::move(all);
                      },
                      {.resolution = 0});
        REQUIRE(traces.size() == plans.size());
        for (const auto& [name, which] : {std::pair("dispatch", &exchange_plan::dispatch),
                                          std::pair("combine", &exchange_plan::combine)}) {
            const auto predicted =
                simulate(plans, which, cols * sizeof(float), job.nodes, {}, {.resolution = 0});
            const auto measured = measured_times(traces, name, (plans[0].*which).phases.size());
            for (std::size_t r = 0; r < plans.size(); ++r)
                for (std::size_t p = 0; p < measured[r].size(); ++p) {
                    INFO(job.text << ", " << name << ", rank " << r << ", phase " << p);
                    CHECK(measured[r][p].ready ==
                          Approx(predicted.phases[r][p].ready).margin(1e-9));
                    CHECK(measured[r][p].posted ==
                          Approx(predicted.phases[r][p].posted).margin(1e-9));
                    CHECK(measured[r][p].done >= predicted.phases[r][p].done - 1e-9);
                }
        }
    }
}

TEST_CASE("a trace has the plan's phases by name and its traffic", "[exec]") {
    const auto job = random_cases::job_on(5, 3);
    const auto plans = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
    std::vector<exchange_trace> traces;
    run_in_process(5, [&](in_process_backend& backend) {
        auto all = traced_job(backend, host_kernels{}, job, node_aggregated{});
        if (backend.rank() == 0)
            traces = std::move(all);
        else
            backend_laws::expect(all.empty(), "rank 0 alone has the traces", backend.rank());
    });
    REQUIRE(traces.size() == 5);
    for (std::size_t r = 0; r < plans.size(); ++r) {
        const auto& spans = traces[r].spans;
        REQUIRE(spans.size() == 3);
        CHECK(spans[0].name == "plan");
        CHECK(spans[0].transfers.empty());
        CHECK(spans[1].name == "dispatch");
        CHECK(spans[2].name == "combine");
        for (const auto& [span, moved] :
             {std::pair(&spans[1], &plans[r].dispatch), std::pair(&spans[2], &plans[r].combine)}) {
            REQUIRE(span->transfers.size() == moved->phases.size());
            double last = span->begin;
            for (std::size_t p = 0; p < moved->phases.size(); ++p) {
                const traced_transfer& t = span->transfers[p];
                CHECK(t.name == moved->phases[p].name);
                std::int64_t out = 0, in = 0;
                for (const segment& s : moved->phases[p].sends) out += s.rows;
                for (const segment& s : moved->phases[p].receives) in += s.rows;
                CHECK(t.bytes_out == out * static_cast<std::int64_t>(cols * sizeof(float)));
                CHECK(t.bytes_in == in * static_cast<std::int64_t>(cols * sizeof(float)));
                CHECK(t.messages_out == static_cast<std::int64_t>(moved->phases[p].sends.size()));
                CHECK(t.times.ready >= last);
                CHECK(t.times.posted >= t.times.ready);
                CHECK(t.times.done >= t.times.posted);
                last = t.times.posted;
                CHECK(span->end >= t.times.done);
            }
        }
    }
}

TEST_CASE("nothing is noted while recording is off or outside of a span", "[exec]") {
    run_in_process(2, [](in_process_backend& backend) {
        traced_backend traced(backend);
        backend_laws::transfers_arrive(traced, 1);
        traced.record(false);
        traced.run("unseen", [&] { backend_laws::transfers_arrive(traced, 2); });
        backend_laws::expect(traced.trace().spans.empty(), "nothing is noted", backend.rank());
    });
}

TEST_CASE("a trace is valid in the Trace Event Format", "[exec]") {
    const auto job = random_cases::job_on(5, 3);
    run_in_process(5, [&](in_process_backend& backend) {
        const auto traces = traced_job(backend, host_kernels{}, job, node_aggregated{});
        if (backend.rank() != 0) return;
        std::size_t spans = 0;
        for (const exchange_trace& trace : traces) spans += trace.spans.size();
        backend_laws::expect(check_events(trace_json(traces, job.nodes)) > spans,
                             "spans and transfers are drawn", 0);
    });
}

TEST_CASE("slices of a trace never overlap whatever the times", "[exec]") {
    // Each transfer is under way until the next but one has begun, and nothing falls on a whole
    // nanosecond; the last span has not ended.
    exchange_trace one;
    const double step = 2.0 / 3 * 1e-6;
    for (int i = 0; i < 30; ++i) {
        const double begin = i * step;
        const phase_times times{begin, begin + step / 2, begin + 2.5 * step};
        one.spans.push_back(
            {"post", begin, begin + step, {{"a", times, 1, 1, 1, 1}, {"b", times, 1, 1, 1, 1}}});
    }
    one.spans.push_back({"open", 40 * step, 0, {}});
    const std::vector<exchange_trace> traces{one};
    CHECK(check_events(trace_json(traces, topology::single_node(1))) == 30 + 60 * 2);
}

TEST_CASE("traces become events of Perfetto by rank and phase", "[exec]") {
    exchange_trace one;
    one.spans.push_back(
        {"dispatch", 1e-3, 2e-3, {{"to \"relays\"", {1.1e-3, 1.2e-3, 1.5e-3}, 8, 1, 16, 2}}});
    CHECK(trace_json(std::vector<exchange_trace>{one}, topology::single_node(1)) ==
          R"({"displayTimeUnit": "ns", "traceEvents": [
{"ph": "M", "pid": 0, "tid": 0, "name": "process_name", "args": {"name": "rank 0 on node 0"}},
{"ph": "M", "pid": 0, "tid": 0, "name": "thread_name", "args": {"name": "steps"}},
{"ph": "X", "name": "dispatch", "cat": "step", "pid": 0, "tid": 0, "ts": 1000.000, "dur": 1000.000},
{"ph": "M", "pid": 0, "tid": 1, "name": "thread_name", "args": {"name": "phase 1"}},
{"ph": "X", "name": "to \"relays\"", "cat": "dispatch", "pid": 0, "tid": 1, "ts": 1100.000, "dur": 400.000, "args": {"bytes_out": 8, "messages_out": 1, "bytes_in": 16, "messages_in": 2}},
{"ph": "X", "name": "pack", "cat": "dispatch", "pid": 0, "tid": 1, "ts": 1100.000, "dur": 100.000}
]}
)");
    CHECK_THROWS_AS(trace_json(std::vector<exchange_trace>{one}, topology::single_node(2)),
                    argument_error);
    CHECK_THROWS_AS(measured_times(std::vector<exchange_trace>{one}, "combine", 1), argument_error);
    CHECK_THROWS_AS(measured_times(std::vector<exchange_trace>{one}, "dispatch", 2),
                    argument_error);
}
