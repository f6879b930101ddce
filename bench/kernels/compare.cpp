#include "compare.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

namespace bench {
namespace {

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

/// A line for each row, and at the end how many targets were reached.
class table : public benchmark::BenchmarkReporter {
  public:
    explicit table(std::string suite) : suite_(std::move(suite)) {}

    bool ReportContext(const Context&) override {
        std::printf("%-78s %10s %-8s %10s %7s %7s\n", suite_.c_str(), "value", "unit", "rival",
                    "ratio", "target");
        return true;
    }
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs)
            if (run.run_type == Run::RT_Iteration) print(run);
        std::fflush(stdout);
    }
    void Finalize() override {
        std::printf("%zu rows, %zu of %zu targets reached\n", rows_, reached_, targets_);
    }

  private:
    void print(const Run& run) {
        const auto counter = [&](const char* name) { return run.counters.at(name).value; };
        const std::string unit = run.report_label.substr(0, run.report_label.find(' '));
        const double ratio = counter("ratio");
        std::printf("%-78s %10.4g %-8s %10.4g %7.3g", run.run_name.function_name.c_str(),
                    counter("value"), unit.c_str(), counter("rival"), ratio);
        if (run.counters.count("target") != 0) {
            const bool reached = ratio >= counter("target");
            std::printf(" %7.3g%s", counter("target"), reached ? "" : "  missed");
            ++targets_;
            reached_ += reached;
        }
        std::printf("\n");
        ++rows_;
    }

    std::string suite_;
    std::size_t rows_ = 0, targets_ = 0, reached_ = 0;
};

/// `text` as a regular expression that matches just that.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (std::string_view(".[\\()*+?{|^$").find(c) != std::string_view::npos) out += '\\';
        out += c;
    }
    return out;
}

std::shared_ptr<void> living;  // the State of the group that runs

}  // namespace

void run_row(benchmark::State& state, const row& r, const timed& kernel, const timed& rival) {
    kernel();
    rival();
    std::vector<double> own, others, ratios;
    for (auto _ : state) {
        own.push_back(kernel());
        others.push_back(rival());
        ratios.push_back(others.back() / own.back());
        state.SetIterationTime(own.back() * 1e-9);
    }
    const auto reported = [&](double ns) {
        return r.unit.starts_with("ns/") ? ns / r.work : r.work / ns;
    };
    state.counters["value"] = reported(median(own));
    state.counters["rival"] = reported(median(others));
    state.counters["ratio"] = median(ratios);
    if (r.target) state.counters["target"] = *r.target;
    state.SetLabel(r.unit + " against " + r.rival);
}

void run_time_row(benchmark::State& state, const row& r, double most_ns, const timed& kernel) {
    kernel();
    std::vector<double> ns;
    for (auto _ : state) {
        ns.push_back(kernel() / r.work);
        state.SetIterationTime(ns.back() * r.work * 1e-9);
    }
    const double value = median(ns);
    state.counters["value"] = value;
    state.counters["rival"] = most_ns;
    state.counters["ratio"] = most_ns / value;
    state.counters["target"] = 1;
    state.SetLabel(r.unit + " against the time to stay below");
}

void give_up_state() { living.reset(); }
void keep_state(std::shared_ptr<void> state) { living = std::move(state); }

void read_options(int argc, char** argv) {
    std::vector<std::string> options{argv[0]};
    for (int i = 1; i < argc; ++i) {
        const std::string_view option = argv[i];
        const bool last = i + 1 == argc;
        if (option == "--json" && !last)
            options.push_back(std::string("--benchmark_out=") + argv[++i]);
        else if (option == "--only" && !last)
            options.push_back("--benchmark_filter=" + escaped(argv[++i]));
        else
            options.emplace_back(option);
    }
    std::vector<char*> pointers;
    for (std::string& option : options) pointers.push_back(option.data());
    int count = static_cast<int>(pointers.size());
    benchmark::Initialize(&count, pointers.data());
    if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) std::exit(2);
}

int run_all(const char* suite) {
    table lines(suite);
    benchmark::RunSpecifiedBenchmarks(&lines);
    give_up_state();
    if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return 0;
    std::fprintf(stderr, "cannot write to standard output\n");
    return 1;
}

}  // namespace bench
