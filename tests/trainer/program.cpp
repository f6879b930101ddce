// The program from outside: what it prints, writes and returns.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"

namespace {

struct ended {
    int code = -1;
    std::string said;  ///< on standard error
};

/// Runs the program through the shell; its standard output is thrown away.
ended run(const std::string& command) {
    ended e;
    FILE* pipe = popen((command + " 2>&1 >/dev/null").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 512> buffer;
    while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), pipe) != nullptr)
        e.said += buffer.data();
    const int status = pclose(pipe);
    e.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return e;
}

/// A path that is gone with the test.
struct scratch_file {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("locmoe_train_" + std::to_string(getpid()) + ".json"))
                           .string();
    ~scratch_file() { std::filesystem::remove(path); }
};

/// A run so small that it takes a second.
const std::string small_run =
    LOCMOE_TRAIN " --steps 3 --sequences 2 --context 16 --width 16 --inner 16 --heads 2 ";

nlohmann::json train(const std::string& launcher, const std::string& options) {
    const scratch_file file;
    const auto e = run(launcher + " " + small_run + "--json " + file.path + " " + options);
    INFO(e.said);
    REQUIRE(e.code == 0);
    std::ifstream in(file.path);
    return nlohmann::json::parse(in);
}

}  // namespace

TEST_CASE("A wrong option or value gets one line on standard error and exit code 2") {
    for (const char* wrong :
         {"--no-such-option", "--router soft", "--steps 0", "--steps many",
          "--backend smoke-signals", "--data /no/such/folder", "--json /no/such/folder/file",
          "--trace /no/such/folder/file", "--page /no/such/folder/file",
          "--curves /no/such/folder/f", "--heads 3", "--experts 500", "--capacity 1.25",
          "--capacity factor:0", "--capacity factor:1.2x", "--nodes", "--seed", "stray"}) {
        const auto e = run(std::string(LOCMOE_TRAIN " ") + wrong);
        INFO(wrong << ": " << e.said);
        CHECK(e.code == 2);
        CHECK(e.said.rfind("locmoe_train: ", 0) == 0);
        CHECK(e.said.find('\n') == e.said.size() - 1);
    }
}

TEST_CASE("A full disk under a report is said and gives exit code 1") {
    for (const char* report : {"--json /dev/full", ">/dev/full"}) {
        const auto e = run(std::string("{ " LOCMOE_TRAIN " --router switch --steps 1 --sequences 1 "
                                       "--context 8 --width 8 --inner 8 --heads 2 ") +
                           report + "; }");
        INFO(report << ": " << e.said);
        CHECK(e.code == 1);
        CHECK(e.said.find("cannot write") != std::string::npos);
    }
}

TEST_CASE("Help is no error") {
    const auto e = run(LOCMOE_TRAIN " --help");
    CHECK(e.code == 0);
    CHECK(e.said.empty());
}

TEST_CASE("The JSON has the baseline and, for each router, all that the table shows") {
    const auto all = train("", "");
    CHECK(all["baseline"]["order2_bits_per_byte"].get<double>() > 1);
    CHECK(all["baseline"]["order2_bits_per_byte"].get<double>() < 8);
    REQUIRE(all["routers"].size() == 3);
    const char* names[] = {"hash", "switch", "locmoe"};
    for (std::size_t i = 0; i < 3; ++i) {
        const auto& r = all["routers"][i];
        CHECK(r["name"] == names[i]);
        CHECK(r["heldout_bits_per_byte"].get<double>() > 1);
        CHECK(r["inter_node_bytes_per_step"].get<double>() > 0);
        CHECK(r["intra_node_bytes_per_step"].get<double>() > 0);
        CHECK(r["inter_node_messages_per_step"].get<double>() > 0);
        CHECK(r["intra_node_messages_per_step"].get<double>() > 0);
        CHECK(r["kept_on_node_fraction"].get<double>() > 0);
        CHECK(r["kept_on_node_fraction"].get<double>() < 1);
        CHECK(r["dropped_fraction"].get<double>() >= 0);
        CHECK(r["load_max_over_mean"].get<double>() >= 1);
        CHECK(r["padded_rows_per_step"] == 8 * 20);
        CHECK(r["expert_tokens_per_step"].get<double>() ==
              Approx(128 * (1 - r["dropped_fraction"].get<double>())));
        CHECK(r["capacity"] == 20);  // ceil(1.25 * 4 ranks * 2 * 16 / 8)
        CHECK(r["losses"].size() == 3);
        double parts = 0;
        for (const char* part : {"route", "plan", "exchange", "expert", "other"}) {
            CHECK(r["step_ms"][part].get<double>() > 0);
            parts += r["step_ms"][part].get<double>();
        }
        CHECK(parts == Approx(r["step_ms"]["total"].get<double>()));
    }
}

TEST_CASE("The trace has the last step of each rank with the plan's phases") {
    const scratch_file file;
    const auto e =
        run(small_run + "--router switch --strategy node_aggregated --trace " + file.path);
    INFO(e.said);
    REQUIRE(e.code == 0);
    std::ifstream in(file.path);
    const auto events = nlohmann::json::parse(in)["traceEvents"];
    for (int rank = 0; rank < 4; ++rank) {
        std::map<std::string, int> spans, phases;
        double step_end = 0;
        for (const auto& event : events) {
            if (event["pid"] != rank || event["ph"] != "X") continue;
            CHECK(event["dur"].get<double>() >= 0);
            if (event["cat"] == "step") {
                CHECK(event["ts"].get<double>() >= step_end);  // one after the other
                step_end = event["ts"].get<double>() + event["dur"].get<double>();
                ++spans[event["name"]];
            } else if (event["cat"] == "dispatch" && event["name"] != "pack") {
                ++phases[event["name"]];
            }
        }
        for (const char* name : {"route", "plan", "dispatch", "dispatch_weights", "expert",
                                 "combine", "combine_backward", "expert backward",
                                 "dispatch_backward", "route backward"}) {
            INFO("rank " << rank << ", " << name);
            CHECK(spans[name] == 1);  // one layer has experts
        }
        for (const char* name : {"own node", "to relays", "relays to experts"})
            CHECK(phases[name] == 1);
    }
}

TEST_CASE("The page has times predicted and measured, and the capacity where there are angles") {
    for (const std::string router : {"switch", "locmoe", "hash"}) {
        const scratch_file file;
        const auto e = run(small_run + "--router " + router + " --page " + file.path);
        INFO(e.said);
        REQUIRE(e.code == 0);
        std::stringstream page;
        page << std::ifstream(file.path).rdbuf();
        for (const char* words : {"Dispatch, predicted", "Dispatch, measured", "Combine, measured",
                                  "The last step of "})
            CHECK(page.str().find(words) != std::string::npos);
#if LOCMOE_TRAINER_WITH_BOOST_MATH
        const bool angles = router != "hash";
        CHECK((page.str().find("Capacity of an expert") != std::string::npos) == angles);
#endif
    }
}

TEST_CASE("The curves are one for each router, with its name") {
    const scratch_file file;
    const auto e = run(small_run + "--curves " + file.path);
    REQUIRE(e.code == 0);
    std::stringstream svg;
    svg << std::ifstream(file.path).rdbuf();
    const std::string text = svg.str();
    for (const char* router : {">hash ", ">switch ", ">locmoe "})
        CHECK(text.find(router) != std::string::npos);
    std::size_t curves = 0, at = 0;
    const std::string curve = "clip-path=\"url(#f)\"";
    for (; (at = text.find(curve, at)) != std::string::npos; at += curve.size()) {
        ++curves;
        const std::string points = text.substr(at, text.find("/>", at) - at);
        CHECK(std::count(points.begin(), points.end(), 'L') == 2);  // of three steps
    }
    CHECK(curves == 3);
}

TEST_CASE("A bar stands on a terminal alone") {
    const auto plain = run(small_run + "--router hash");
    REQUIRE(plain.code == 0);
    CHECK(plain.said.find("hash          step 3 of 3, ") == 0);
    CHECK(plain.said.find('\r') == std::string::npos);
    const auto shown = run("{ script -qec '" + small_run + "--router hash' /dev/null >&2; }");
    REQUIRE(shown.code == 0);
    CHECK(shown.said.find("\rhash          [##############################] 3/3 ") !=
          std::string::npos);
    CHECK(shown.said.find(" s left\033[K") != std::string::npos);
}

TEST_CASE("On one node nothing is inter-node, and on nodes of one rank nothing is intra-node") {
    const auto one = train("", "--router switch --nodes 1 --ranks-per-node 3")["routers"][0];
    CHECK(one["inter_node_bytes_per_step"] == 0);
    CHECK(one["intra_node_bytes_per_step"].get<double>() > 0);
    CHECK(one["kept_on_node_fraction"] == 1);
    const auto apart = train("", "--router switch --nodes 3 --ranks-per-node 1")["routers"][0];
    CHECK(apart["intra_node_bytes_per_step"] == 0);
    CHECK(apart["inter_node_bytes_per_step"].get<double>() > 0);
}

TEST_CASE("Without a capacity nothing is dropped, and with one of a row nearly everything is") {
    const auto dropless = train("", "--router switch --capacity none")["routers"][0];
    CHECK(dropless["dropped_fraction"] == 0);
    CHECK(dropless["capacity"].is_null());
    CHECK(dropless["expert_tokens_per_step"] == 128);
    const auto least = train("", "--router switch --capacity factor:1e-6")["routers"][0];
    CHECK(least["dropped_fraction"].get<double>() >= 120.0 / 128);
    CHECK(least["capacity"] == 1);
    CHECK(least["padded_rows_per_step"] == 8);
}

TEST_CASE("Each router is known by its name, and the word every stands for all of them") {
    const auto every = train("", "--router every --experts 4");
    REQUIRE(every["routers"].size() == 17);
    for (const auto& r : every["routers"]) {
        const auto name = r["name"].get<std::string>();
        INFO(name);
        CHECK(r["heldout_bits_per_byte"].get<double>() < 8.5);
        CHECK((r["expert_tokens_per_step"].get<double>() > 128) ==
              (name == "top_k" || name == "noisy_top_k" || name == "bias_balanced" ||
               name == "group_limited" || name == "node_limited" || name == "resonance" ||
               name == "gshard" || name == "dense"));
    }
}

TEST_CASE("Experts of a domain are on the node that reads it, and each domain has one at least") {
    for (const char* router : {"rre", "domain_locmoe"}) {
        INFO(router);
        const std::string named = std::string("--router ") + router;
        CHECK(train("", named)["routers"][0]["kept_on_node_fraction"] == 1);
        const auto mixed = train("", named + " --shards shuffled")["routers"][0];
        CHECK(mixed["kept_on_node_fraction"].get<double>() < 1);
        const auto few = run(LOCMOE_TRAIN " --experts 3 " + named);
        CHECK(few.code == 1);
        CHECK(few.said.find("needs one for each of 4 domains") != std::string::npos);
    }
}

#ifdef LOCMOE_MPIRUN
TEST_CASE("Both backends give the same losses to the bit") {
    // As root only Open MPI asks for permission, and its launcher alone knows these variables.
    const std::string launcher =
        "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
        "OMPI_MCA_rmaps_base_oversubscribe=1 timeout -k 5 120 " LOCMOE_MPIRUN " -n 4 ";
    for (const char* options : {"--router all", "--router switch --strategy node_aggregated",
                                "--router locmoe --shards shuffled --capacity none"}) {
        INFO(options);
        const auto threads = train("", options);
        const auto processes = train(launcher, std::string(options) + " --backend mpi");
        REQUIRE(threads["routers"].size() == processes["routers"].size());
        for (std::size_t i = 0; i < threads["routers"].size(); ++i)
            for (const char* same : {"losses", "heldout_bits_per_byte", "inter_node_bytes_per_step",
                                     "intra_node_bytes_per_step", "kept_on_node_fraction",
                                     "dropped_fraction", "load_max_over_mean"}) {
                INFO(same);
                CHECK(threads["routers"][i][same] == processes["routers"][i][same]);
            }
    }
}

TEST_CASE("A number of processes that does not fit the nodes is refused with exit code 2") {
    const auto e =
        run("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
            "OMPI_MCA_rmaps_base_oversubscribe=1 timeout -k 5 60 " LOCMOE_MPIRUN
            " -n 3 " LOCMOE_TRAIN " --backend mpi");
    CHECK(e.code == 2);
    CHECK(e.said.find("need mpirun -n 4, got 3 ranks") != std::string::npos);
}
#endif
