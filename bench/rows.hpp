#pragma once

// What the suites of bench/ but kernels/ report: rows against a named rival, as a table and as JSON.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace bench {

/// `ratio` says how many times better than the rival `value` is, or which fraction of a limit it
/// reaches: more is better in every row, whatever the unit.
struct row {
    std::string name;
    double value = 0;
    std::string unit;
    std::string rival;
    double rival_value = 0;
    double ratio = 0;
    std::optional<double> target = std::nullopt;  ///< least ratio to reach; none: for the record
    std::optional<double> spread = std::nullopt;  ///< of value: upper minus lower quartile / median
};

class report {
  public:
    /// Reads `--json FILE` from the command line; anything else ends the program with code 2.
    report(std::string suite, int argc, char** argv) : suite_(std::move(suite)) {
        for (int i = 1; i < argc; ++i) {
            if (std::string_view(argv[i]) == "--json" && i + 1 < argc) {
                file_ = argv[++i];
                continue;
            }
            std::fprintf(stderr, "usage: %s [--json FILE]\n", argv[0]);
            std::exit(2);
        }
        std::printf("%-64s %12s %-10s %12s %8s %8s\n", suite_.c_str(), "value", "unit", "rival",
                    "ratio", "target");
    }

    void add(row r) {
        std::printf("%-64s %12.4g %-10s %12.4g %8.3g", r.name.c_str(), r.value, r.unit.c_str(),
                    r.rival_value, r.ratio);
        if (r.target) std::printf(" %8.3g%s", *r.target, r.ratio < *r.target ? "  missed" : "");
        if (r.spread) std::printf("  (spread %.0f %%)", 100 * *r.spread);
        std::printf("\n");
        std::fflush(stdout);
        rows_.push_back(std::move(r));
    }

    /// Says how many targets were missed and writes the JSON. 0, or 1 where they cannot be written.
    int finish() const {
        std::size_t targets = 0, missed = 0;
        auto rows = nlohmann::json::array();
        for (const row& r : rows_) {
            targets += r.target.has_value();
            missed += r.target && r.ratio < *r.target;
            rows.push_back({{"name", r.name},
                            {"value", r.value},
                            {"unit", r.unit},
                            {"rival", r.rival},
                            {"rival_value", r.rival_value},
                            {"ratio", r.ratio},
                            {"target", r.target ? nlohmann::json(*r.target) : nlohmann::json()}});
            if (r.spread) rows.back()["spread"] = *r.spread;
        }
        std::printf("%zu rows, %zu of %zu targets reached\n", rows_.size(), targets - missed,
                    targets);
        if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
            std::fprintf(stderr, "cannot write to standard output\n");
            return 1;
        }
        if (file_.empty()) return 0;
        std::ofstream out(file_);
        out << nlohmann::json{{"suite", suite_}, {"rows", rows}}.dump(2) << "\n";
        out.close();
        if (out) return 0;
        std::fprintf(stderr, "cannot write %s\n", file_.c_str());
        return 1;
    }

  private:
    std::string suite_;
    std::string file_;
    std::vector<row> rows_;
};

}  // namespace bench
