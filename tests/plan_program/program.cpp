// The program from outside: what it prints, writes and returns.

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "run_program.hpp"

using Catch::Contains;

namespace {

const char* small_cluster = R"({"nodes": {"count": 2, "ranks": 2}})";

struct planned {
    std::string out;
    nlohmann::json json;
};

planned plan(const scratch_folder& folder, const std::string& options) {
    const auto e = run(LOCMOE_PLAN " '" + folder.write("small.json", small_cluster) + "' " +
                           options + " --json '" + (folder / "out.json") + "'",
                       folder);
    INFO(options << ": " << e.said);
    REQUIRE(e.code == 0);
    CHECK(e.said == "");
    return {e.out, nlohmann::json::parse(text_of(folder / "out.json"))};
}

}  // namespace

TEST_CASE("A wrong option or value of locmoe-plan gets one line and exit code 2") {
    const scratch_folder folder;
    for (const char* wrong :
         {"", "a.json", "a.json --uniform --zipf 1", "a.json --uniform --routing r.npy",
          "a.json --zipf -1", "a.json --uniform --tokens 0", "a.json --uniform --choices 65",
          "a.json --uniform --experts 2 --choices 3", "a.json --uniform --strategy quickest",
          "a.json --uniform --placement anywhere", "a.json --uniform --capacity 0",
          "a.json --uniform --row-bytes 0", "a.json --routing r.npy --tokens 5",
          "a.json --routing r.npy --seed 5", "a.json --uniform --html /no/such/folder/file",
          "a.json --uniform --json /no/such/folder/file",
          "a.json --uniform --trace /no/such/folder/file", "a.json --uniform --no-such-option",
          "a.json --uniform stray"}) {
        const auto e = run(std::string(LOCMOE_PLAN " ") + wrong, folder);
        INFO(wrong << ": " << e.said);
        CHECK(e.code == 2);
        CHECK(e.out == "");
        CHECK(e.said.rfind("locmoe-plan: ", 0) == 0);
        CHECK(e.said.find('\n') == e.said.size() - 1);
    }
}

TEST_CASE("A file that does not serve is named with what was expected and exit code 1") {
    const scratch_folder folder;
    const auto cluster = folder.write("small.json", small_cluster);
    const auto said = [&](const std::string& options) {
        const auto e = run(LOCMOE_PLAN " " + options, folder);
        CHECK(e.code == 1);
        CHECK(e.out == "");
        return e.said;
    };
    CHECK_THAT(said((folder / "none.json") + " --uniform"),
               Contains("none.json: expected a file that can be read"));
    CHECK_THAT(said(folder.write("bad.json", "{\"nodes\": [0]}") + " --uniform"),
               Contains("bad.json:1:12: "));
    CHECK_THAT(said(cluster + " --routing " + (folder / "none.npy")),
               Contains("none.npy: expected a file, got none"));
    CHECK_THAT(said(cluster + " --routing " + folder.write("r.json", "[[0], [1, 2]]")),
               Contains("r.json: [1]: expected 1 entries, as in those before, got 2"));
    CHECK_THAT(said(cluster + " --experts 2 --routing " + folder.write("r.json", "[[0], [2]]")),
               Contains("--experts: expected at least 3"));
    CHECK_THAT(said(cluster + " --uniform --tokens 16777216 --choices 64"),
               Contains("--tokens: expected at most 268435456 choices on all ranks"));
}

TEST_CASE("A full disk under any report of locmoe-plan is said and gives exit code 1") {
    const scratch_folder folder;
    const auto planned = LOCMOE_PLAN " '" + folder.write("small.json", small_cluster) + "' --uniform ";
    for (const char* report : {"--html /dev/full", "--json /dev/full", "--trace /dev/full",
                               ">/dev/full"}) {
        const auto e = run(planned + report, folder);
        INFO(report << ": " << e.said);
        CHECK(e.code == 1);
        CHECK(e.said.rfind("locmoe-plan: ", 0) == 0);
    }
}

TEST_CASE("Help of locmoe-plan is no error") {
    const scratch_folder folder;
    const auto e = run(LOCMOE_PLAN " --help", folder);
    CHECK(e.code == 0);
    CHECK(e.said == "");
    CHECK_THAT(e.out, Contains("--routing"));
}

TEST_CASE("A routing from a file is planned to the row and reported") {
    // 4 ranks on 2 nodes, a token each: to its own rank, its node, the other node twice, nowhere.
    const scratch_folder folder;
    const auto routing = folder.write("r.json", "[[0, -1], [0, 1], [0, 1], [-1, -1]]");
    const auto p = plan(folder, "--routing '" + routing +
                                    "' --experts 4 --row-bytes 10 --strategy node_aggregated");
    CHECK(p.json["ranks"] == 4);
    CHECK(p.json["nodes"] == 2);
    CHECK(p.json["experts"] == 4);
    CHECK(p.json["choices"] == 2);
    CHECK(p.json["strategy"] == "node_aggregated");
    CHECK(p.json["choice"].is_null());
    CHECK(p.json["dispatch"]["inter_node"] ==
          nlohmann::json({{"rows", 1}, {"messages", 1}, {"bytes", 10}}));
    CHECK(p.json["dispatch"]["intra_node"]["rows"] == 2);  // rank 1 to 0, and the relay's copy
    CHECK(p.json["predicted_seconds"]["dispatch"].get<double>() > 5e-6);
    CHECK_THAT(p.out, Contains("exchange of 4 ranks: node_aggregated\n  5 pairs kept, 0 dropped; "
                               "at most 3 rows on one rank\n"));
    CHECK_THAT(p.out, Contains("predicted by simulation: dispatch "));
}

TEST_CASE("The best strategy is the first of the candidates and no other is 2 percent cheaper") {
    const scratch_folder folder;
    const auto p = plan(folder, "--zipf 1 --tokens 100");
    const auto& candidates = p.json["choice"]["candidates"];
    REQUIRE(candidates.size() == 9);
    CHECK(p.json["strategy"] == candidates[0]["strategy"]);
    for (const auto& c : candidates) {
        const bool declined = c.contains("declined");
        CHECK(declined != c.contains("nanoseconds"));
        if (!declined)
            CHECK(51 * c["nanoseconds"].get<std::int64_t>() >=
                  50 * candidates[0]["nanoseconds"].get<std::int64_t>());
        const auto named = plan(
            folder, "--zipf 1 --tokens 100 --strategy '" + c["strategy"].get<std::string>() + "'");
        CHECK(named.json["strategy"] == c["strategy"]);
    }
    CHECK_THAT(p.out, Contains("chosen for rows of 8192 bytes: "));
}

TEST_CASE("A capacity drops what is over and a placement moves experts") {
    const scratch_folder folder;
    const auto routing = folder.write("r.json", "[[0], [0], [0], [1]]");
    const std::string from = "--routing '" + routing + "' --experts 4 --strategy direct";
    CHECK_THAT(plan(folder, from).out, Contains("4 pairs kept, 0 dropped"));
    CHECK_THAT(plan(folder, from + " --capacity 2").out, Contains("3 pairs kept, 1 dropped"));
    CHECK(plan(folder,
               "--experts 8 " + from.substr(0, from.find(" --experts")) + " --strategy direct")
              .json["dispatch"]["inter_node"]["rows"] == 2);
    CHECK(plan(folder, "--experts 8 --placement round_robin --strategy direct " +
                           from.substr(0, from.find(" --experts")))
              .json["dispatch"]["intra_node"]["rows"] == 1);
}

TEST_CASE("A predicted trace has each rank's phases with combine behind dispatch") {
    const scratch_folder folder;
    const auto p = plan(folder, "--uniform --tokens 100 --strategy node_aggregated --trace '" +
                                    (folder / "trace.json") + "'");
    const auto trace = nlohmann::json::parse(text_of(folder / "trace.json"));
    const double turn = 1e6 * p.json["predicted_seconds"]["dispatch"].get<double>();
    const double end = turn + 1e6 * p.json["predicted_seconds"]["combine"].get<double>();
    std::size_t slices[4] = {0, 0, 0, 0};
    for (const auto& event : trace["traceEvents"]) {
        if (event["ph"] != "X") continue;
        const double ts = event["ts"].get<double>(), done = ts + event["dur"].get<double>();
        CHECK((event["cat"] == "dispatch" ? done < turn + 0.01 : ts > turn - 0.01));
        CHECK(done < end + 0.01);
        slices[event["pid"].get<std::size_t>()] += event["name"] != "pack";
    }
    for (const std::size_t n : slices) CHECK(n == 6);  // 3 phases there, 3 back
}

TEST_CASE("The sample cluster is read") {
    const scratch_folder folder;
    const auto e = run(LOCMOE_PLAN " " LOCMOE_PLAN_CLUSTER " --uniform --tokens 16", folder);
    INFO(e.said);
    CHECK(e.code == 0);
    CHECK_THAT(e.out, Contains("exchange of 256 ranks: "));
}
