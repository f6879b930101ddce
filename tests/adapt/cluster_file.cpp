#if __has_include(<nlohmann/json.hpp>)

#include "locmoe/adapt/cluster_file.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

#include "locmoe/core/error.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// The bits of every number, the leaves' 0 where there are none.
std::array<std::uint64_t, 14> bits_of(const cluster_costs& costs) {
    const leaf_switches leaves = costs.leaves.value_or(leaf_switches{0, 0, 0});
    const auto bits = [](double number) { return std::bit_cast<std::uint64_t>(number); };
    return {bits(costs.intra_node.latency),
            bits(costs.intra_node.overhead),
            bits(costs.intra_node.message_bandwidth),
            bits(costs.intra_node.rank_bandwidth),
            bits(costs.inter_node.latency),
            bits(costs.inter_node.overhead),
            bits(costs.inter_node.rank_bandwidth),
            bits(costs.inter_node.nic_bandwidth),
            bits(costs.inter_node.fan_in_loss),
            bits(costs.inter_node.fan_in_free),
            leaves.nodes,
            bits(leaves.uplink_bandwidth),
            bits(leaves.latency),
            bits(costs.pack_bandwidth)};
}

/// Any finite number from 0 up, of any size; now and then nothing.
double any_number(std::mt19937& random) {
    if (random() % 8 == 0) return 0;
    const std::uint64_t below_infinity = 0x7ff0000000000000u;
    return std::bit_cast<double>((std::uint64_t{random()} << 32 | random()) % below_infinity);
}

double any_bandwidth(std::mt19937& random, bool may_be_infinite) {
    if (may_be_infinite && random() % 4 == 0) return infinity;
    const double number = any_number(random);
    return number > 0 ? number : 1e9;
}

cluster_costs any_costs(std::mt19937& random) {
    cluster_costs costs;
    costs.intra_node = {any_number(random), any_number(random), any_bandwidth(random, false),
                        any_bandwidth(random, true)};
    costs.inter_node = {any_number(random), any_number(random), any_bandwidth(random, true),
                        any_bandwidth(random, false), any_number(random), 1 + any_number(random)};
    if (random() % 2 == 0)
        costs.leaves =
            leaf_switches{1 + random() % 100, any_bandwidth(random, true), any_number(random)};
    costs.pack_bandwidth = any_bandwidth(random, true);
    return costs;
}

/// What is said against a text, "" where it is read.
std::string refusal(const std::string& text) {
    try {
        parse_cluster(text, "c.json");
    } catch (const argument_error& e) {
        return e.what();
    }
    return "";
}

std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    all.reserve(text.size() * times);
    for (std::size_t i = 0; i < times; ++i) all += text;
    return all;
}

std::string temporary_file() {
    return (std::filesystem::temp_directory_path() /
            ("locmoe_cluster_file_test_" + std::to_string(getpid()) + ".json"))
        .string();
}

}  // namespace

TEST_CASE("a cluster that is written is read back, every number to the bit", "[adapt]") {
    std::mt19937 random(7);
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        random_cases::generator g(seed);
        const topology nodes = random_cases::any_topology(g, 1 + g.up_to(20));
        const cluster_costs costs = any_costs(random);
        const std::string text = cluster_json(nodes, costs);
        CAPTURE(text);
        const cluster back = parse_cluster(text);
        CHECK(back.nodes == nodes);
        CHECK(bits_of(back.costs) == bits_of(costs));
        CHECK(back.costs.leaves.has_value() == costs.leaves.has_value());
        CHECK(cluster_json(back.nodes, back.costs) == text);
    }
}

TEST_CASE("ranks on nodes are written in the shortest form and read in each", "[adapt]") {
    const auto nodes_of = [](const std::string& text) { return parse_cluster(text).nodes; };
    const auto written = [](const topology& nodes) {
        const std::string text = cluster_json(nodes, {});
        return text.substr(4, text.find(",\n") - 4);
    };
    const topology uneven = topology::from_node_of_rank({0, 0, 1, 2, 2, 2});
    const topology scattered = topology::from_node_of_rank({1, 0, 0, 1});
    CHECK(written(topology::uniform(3, 2)) == R"("nodes": {"count": 3, "ranks": 2})");
    CHECK(written(uneven) == R"("nodes": [2, 1, 3])");
    CHECK(written(scattered) == R"("node_of_rank": [1, 0, 0, 1])");
    CHECK(nodes_of(R"({"nodes": {"ranks": 2, "count": 3}})") == topology::uniform(3, 2));
    CHECK(nodes_of(R"({"nodes": [2, 2, 2]})") == topology::uniform(3, 2));
    CHECK(nodes_of(R"({"node_of_rank": [0, 0, 1, 1, 2, 2]})") == topology::uniform(3, 2));
    CHECK(nodes_of(R"({"nodes": [2, 1, 3]})") == uneven);
    CHECK(nodes_of(R"({"node_of_rank": [1, 0, 0, 1]})") == scattered);
}

TEST_CASE("what a cluster file does not state is as by default", "[adapt]") {
    CHECK(bits_of(parse_cluster(R"({"nodes": [1]})").costs) == bits_of({}));
    cluster_costs costs;
    costs.leaves.emplace();
    CHECK(bits_of(parse_cluster(R"({"leaves": {}, "nodes": [1]})").costs) == bits_of(costs));
    costs.leaves->nodes = 16;
    costs.inter_node.latency = 3;
    costs.intra_node.overhead = 0;
    CHECK(bits_of(parse_cluster("\xEF\xBB\xBF{\"intra_node\":{\"overhead\":-0},\r\n\"leaves\":"
                                "{\"nodes\":16},\"nodes\":[1],\"inter_node\":{\"latency\":3}}\n")
                      .costs) == bits_of(costs));
}

TEST_CASE("a cluster file that is wrong is refused by line, column and reason", "[adapt]") {
    struct wrong {
        std::string text;
        std::string told;  // after the file's name; of what is no JSON, the beginning
    };
    const std::string seconds = "expected seconds, 0 or more, got ";
    const std::string finite = "expected bytes a second above 0, got ";
    const std::string bandwidth = "expected bytes a second above 0, or \"unlimited\", got ";
    const std::string whole = "expected a whole number, 1 to 1048576, got ";
    const std::string ranks = "expected ranks of a node, 1 or more, of all nodes at most 1048576, ";
    const std::string node = "expected a node, 0 to 1048575, got ";
    const std::string cluster_has =
        "; a cluster has nodes, node_of_rank, intra_node, inter_node, leaves, pack_bandwidth";
    const wrong cases[] = {
        // Values that no cluster has, each where it stands.
        {"{\"nodes\": [1],\n \"inter_node\": {\n  \"latency\": 1,\n  \"nic_bandwidth\": -1 }}",
         "4:20: inter_node.nic_bandwidth: " + finite + "-1"},
        {R"({"inter_node": {"fan_in_loss": -1}})",
         "1:32: inter_node.fan_in_loss: expected 0 or more, got -1"},
        {R"({"inter_node": {"fan_in_free": 0.5}})",
         "1:32: inter_node.fan_in_free: expected 1 or more nodes, got 0.5"},
        {R"({"inter_node": {"nic_bandwidth": 0}})",
         "1:34: inter_node.nic_bandwidth: " + finite + "0"},
        {R"({"inter_node": {"nic_bandwidth":0.0}})",
         "1:33: inter_node.nic_bandwidth: " + finite + "0.0"},
        {R"({"inter_node": {"nic_bandwidth": "unlimited"}})",
         "1:34: inter_node.nic_bandwidth: " + finite + "\"unlimited\""},
        {R"({"intra_node": {"latency": -1e-9}})", "1:28: intra_node.latency: " + seconds + "-1e-9"},
        {R"({"intra_node": {"latency":"2e-6" }})",
         "1:27: intra_node.latency: " + seconds + "\"2e-6\""},
        {R"({"intra_node": {"overhead": null}})", "1:29: intra_node.overhead: " + seconds + "null"},
        {R"({"intra_node": {"overhead": true}})", "1:29: intra_node.overhead: " + seconds + "true"},
        {R"({"intra_node": {"overhead": [1]}})",
         "1:29: intra_node.overhead: " + seconds + "an array"},
        {R"({"intra_node": {"overhead": {}}})",
         "1:29: intra_node.overhead: " + seconds + "an object"},
        {"{\"pack_bandwidth\":\n-0}", "2:1: pack_bandwidth: " + bandwidth + "-0"},
        {R"({"pack_bandwidth": "infinity"})",
         "1:20: pack_bandwidth: " + bandwidth + "\"infinity\""},
        {R"({"leaves": {"nodes": 0}})", "1:22: leaves.nodes: " + whole + "0"},
        {R"({"leaves": {"nodes": 2.0}})", "1:22: leaves.nodes: " + whole + "2.0"},
        {R"({"leaves": {"nodes": -3}})", "1:22: leaves.nodes: " + whole + "-3"},
        {R"({"leaves": {"uplink_bandwidth": -3}})",
         "1:33: leaves.uplink_bandwidth: " + bandwidth + "-3"},
        // Overflow.
        {R"({"intra_node": {"latency": 1e999}})", "1:28: intra_node.latency: " + seconds + "1e999"},
        {R"({"pack_bandwidth": -1e999, "nodes": [1]})",
         "1:20: pack_bandwidth: " + bandwidth + "-1e999"},
        {R"({"nodes": [1e308]})", "1:12: nodes[0]: " + ranks + "got 1e308"},
        {R"({"nodes": [1e999]})", "1:12: nodes[0]: " + ranks + "got 1e999"},
        {R"({"nodes": [18446744073709551616]})",
         "1:12: nodes[0]: " + ranks + "got 18446744073709551616"},
        {R"({"nodes": [18446744073709551615]})",
         "1:12: nodes[0]: " + ranks + "got 18446744073709551615"},
        {R"({"nodes": {"count": 1048577, "ranks": 1}})", "1:21: nodes.count: " + whole + "1048577"},
        {R"({"nodes": {"count": 4294967296, "ranks": 4294967296}})",
         "1:21: nodes.count: " + whole + "4294967296"},
        {R"({"nodes": {"count": 1025, "ranks": 1024}})",
         "1:11: nodes: expected at most 1048576 ranks, got 1025 times 1024"},
        {R"({"nodes": [1048576,1]})", "1:20: nodes[1]: " + ranks + "got 1"},
        {"{\"nodes\": [" + repeated("7", 5000) + "]}",
         "1:12: nodes[0]: " + ranks + "got " + repeated("7", 40) + "..."},
        // Who sits where.
        {R"({"nodes": []})", "1:11: nodes: expected at least one rank, got none"},
        {R"({"nodes": [4,0]})", "1:14: nodes[1]: " + ranks + "got 0"},
        {R"({"nodes": [4, -1]})", "1:15: nodes[1]: " + ranks + "got -1"},
        {R"({"nodes": [4, "unlimited"]})", "1:15: nodes[1]: " + ranks + "got \"unlimited\""},
        {R"({"nodes": [4, [4]]})", "1:15: nodes[1]: " + ranks + "got an array"},
        {R"({"nodes": [{"count": 1}]})", "1:12: nodes[0]: " + ranks + "got an object"},
        {R"({"nodes": 8})",
         "1:11: nodes: expected an array of ranks a node, or an object of count and ranks, got 8"},
        {R"({"nodes": {"count": 8} })", "1:22: nodes: expected count and ranks, got count alone"},
        {R"({"nodes": {"ranks": 8}})", "1:22: nodes: expected count and ranks, got ranks alone"},
        {R"({"nodes": {}})", "1:12: nodes: expected count and ranks, got neither"},
        {R"({"node_of_rank": []})", "1:18: node_of_rank: expected at least one rank, got none"},
        {R"({"node_of_rank": {}})",
         "1:18: node_of_rank: expected an array of nodes, got an object"},
        {R"({"node_of_rank": [0, -1]})", "1:22: node_of_rank[1]: " + node + "-1"},
        {R"({"node_of_rank": [0, 1048576]})", "1:22: node_of_rank[1]: " + node + "1048576"},
        {R"({"node_of_rank": [0, 0.5]})", "1:22: node_of_rank[1]: " + node + "0.5"},
        {"{\"node_of_rank\": [0,\n 3,\n 1]}",
         "2:2: node_of_rank[1]: expected a node, 0 to 2 for 3 ranks, got 3"},
        {R"({"node_of_rank": [0, 2, 2]})",
         "1:18: node_of_rank: expected a rank on each node, 0 to 2, got none on node 1"},
        {R"({"nodes": [1],"node_of_rank": [0]})",
         "1:15: nodes and node_of_rank: expected one of them, got both"},
        {"{\"leaves\": {}\n}", "2:1: expected nodes or node_of_rank, got neither"},
        // Keys.
        {R"({"nodes": [1], "Nodes": [1]})", "1:16: unknown key \"Nodes\"" + cluster_has},
        {R"({"": 1})", "1:2: unknown key \"\"" + cluster_has},
        {R"({"latency": 1})", "1:2: unknown key \"latency\"" + cluster_has},
        {R"({"leaves": {"count": 1}})",
         "1:13: unknown key \"count\"; leaves has nodes, uplink_bandwidth, latency"},
        {R"({"nodes": {"nodes": 1}})", "1:12: unknown key \"nodes\"; nodes has count, ranks"},
        {"{\"\\u001b\": 1}", "1:2: unknown key \"\\u001b\"" + cluster_has},
        {"{\"\xC3\xA9\": 1}", "1:2: unknown key \"??\"" + cluster_has},
        {"{\"a\\\"b\\\\\": 1}", "1:2: unknown key \"a\\\"b\\\\\"" + cluster_has},
        {"{\"" + repeated("x", 100) + "\": 1}",
         "1:2: unknown key \"" + repeated("x", 39) + "..." + cluster_has},
        {R"({"nodes": [1], "nodes": [1]})", "1:16: nodes: stands here a second time"},
        {R"({"leaves": {}, "leaves": {}})", "1:16: leaves: stands here a second time"},
        {R"({"leaves": {"nodes": 1, "nodes": 1}})",
         "1:25: leaves.nodes: stands here a second time"},
        // Nothing nests deeper than a cluster does.
        {repeated("[", 1000000), "1:1: expected an object, got an array"},
        {"{\"nodes\": " + repeated("[", 1000000), "1:12: nodes[0]: " + ranks + "got an array"},
        {repeated("{\"leaves\":", 100000),
         "1:12: unknown key \"leaves\"; leaves has nodes, "
         "uplink_bandwidth, latency"},
        {"8", "1:1: expected an object, got 8"},
        {" \"unlimited\"", "1:2: expected an object, got \"unlimited\""},
        // No JSON.
        {"", "1:1: syntax error"},
        {"\n\n  ", "3:3: syntax error"},
        {"{\"nodes\": [1]", "1:14: syntax error"},
        {"{\"nodes\": [1]}}", "1:15: syntax error"},
        {"{\"nodes\": [1]}\n{}", "2:1: syntax error"},
        {"{\"nodes\": [1],}", "1:15: syntax error"},
        {"{\"nodes\": [1,]}", "1:14: syntax error"},
        {"{\n// why\n\"nodes\": [1]}", "2:1: syntax error"},
        {"{\"nodes\": [1] /* why */}", "1:15: syntax error"},
        {"{\"nodes\": [1]\n \"leaves\": {}}", "2:2: syntax error"},
        {"{\"nodes\": [1],, \"leaves\": {}}", "1:15: syntax error"},
        {"{\"nodes\" [1]}", "1:10: syntax error"},
        {"{\"nodes\": : [1]}", "1:11: syntax error"},
        {"{\"nodes\": [1 25]}", "1:14: syntax error"},
        {"{\"nodes\": [1]}\n 1048", "2:2: syntax error"},
        {"{'nodes': [1]}", "1:2: syntax error"},
        {"{nodes: [1]}", "1:3: syntax error"},
        {"{\"pack_bandwidth\": NaN}", "1:20: syntax error"},
        {"{\"pack_bandwidth\": Infinity}", "1:20: syntax error"},
        {"{\"pack_bandwidth\": -Infinity}", "1:21: syntax error"},
        {"{\"leaves\": {\"latency\": 01}}", "1:25: syntax error"},
        {"{\"pack_bandwidth\": .5}", "1:20: syntax error"},
        {"{\"pack_bandwidth\": 1.}", "1:22: syntax error"},
        {"{\"leaves\": {\"latency\": 0x1}}", "1:25: syntax error"},
        {"{\"pack_bandwidth\": +1}", "1:20: syntax error"},
        {"{\"no\ndes\": [1]}", "1:5: syntax error"},
        {"{\"no\xFF\": [1]}", "1:5: syntax error"},
        {"{\"\xC0\xAF\": [1]}", "1:3: syntax error"},      // '/' in two bytes
        {"{\"\xED\xA0\x80\": [1]}", "1:4: syntax error"},  // half a surrogate pair
        {"{\"\\ud800\": [1]}", "1:9: syntax error"},
        {std::string("{\0}", 3), "1:2: syntax error"},
        {"\xFF\xFE{\0", "1:1: syntax error"},
    };
    for (const wrong& w : cases) {
        const std::string told = refusal(w.text);
        CAPTURE(w.text.substr(0, 100), told);
        const std::string wanted = "c.json:" + w.told;
        if (w.told.find("syntax error") != std::string::npos)
            CHECK(told.substr(0, wanted.size()) == wanted);
        else
            CHECK(told == wanted);
        for (const char c : told) CHECK((c >= ' ' && c <= '~'));
        CHECK(told.size() < 250);
    }
}

TEST_CASE("what follows a mistake does not matter", "[adapt]") {
    // Cut short anywhere, a good file is no file.
    cluster_costs costs;
    costs.leaves.emplace();
    costs.pack_bandwidth = infinity;
    std::string text = cluster_json(topology::from_node_of_rank({1, 0, 0}), costs);
    text.resize(text.size() - 2);  // the last brace and the end of its line
    for (std::size_t size = 0; size <= text.size(); ++size)
        CHECK(refusal(text.substr(0, size)) != "");
    // With one byte changed, it is another cluster or none, never a crash.
    std::mt19937 random(3);
    std::size_t refused = 0;
    for (int i = 0; i < 20000; ++i) {
        std::string other = text + "}";
        other[random() % other.size()] = static_cast<char>(random() % 256);
        const std::string told = refusal(other);
        if (told.empty()) continue;
        ++refused;
        if (told.find("c.json:") != 0) FAIL(told);
    }
    CHECK(refused > 10000);
}

TEST_CASE("a cluster file may hold so many ranks and bytes, and no more", "[adapt]") {
    const topology most = topology::uniform(most_cluster_ranks / 2, 2);
    CHECK(parse_cluster(R"({"nodes": {"count": 524288, "ranks": 2}})").nodes == most);
    std::string all = "{\"node_of_rank\": [";
    for (std::size_t r = 0; r < most_cluster_ranks; ++r) all += r == 0 ? "0" : ",0";
    CHECK(parse_cluster(all + "]}").nodes.rank_count() == most_cluster_ranks);
    CHECK(refusal(all + ",0]}") ==
          "c.json:1:2097171: node_of_rank[1048576]: expected at most 1048576 ranks");
    const std::string small = R"({"nodes": [1]})";
    const std::string full = small + std::string(most_cluster_bytes - small.size(), '\n');
    CHECK(refusal(full) == "");
    CHECK(refusal(full + "\n") == "c.json:1:1: expected at most 16777216 bytes, got more");

    const auto unwritten = [](const topology& nodes, const cluster_costs& costs) {
        try {
            cluster_json(nodes, costs);
        } catch (const argument_error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(unwritten(topology::single_node(most_cluster_ranks + 1), {}) ==
          "locmoe: cluster_json: ranks: expected at most 1048576, got 1048577");
    cluster_costs costs;
    costs.leaves = leaf_switches{most_cluster_ranks + 1, 1e9, 0};
    CHECK(unwritten(topology::single_node(1), costs) ==
          "locmoe: cluster_json: leaves.nodes: expected at most 1048576, got 1048577");
    costs = {};
    costs.pack_bandwidth = -1;
    CHECK(unwritten(topology::single_node(1), costs).find("pack_bandwidth") != std::string::npos);
}

TEST_CASE("a cluster goes to a file and back, and errors name the file", "[adapt]") {
    const std::string path = temporary_file();
    cluster_costs costs;
    costs.inter_node.rank_bandwidth = infinity;
    write_cluster(path, topology::uniform(4, 3), costs);
    const cluster back = read_cluster(path);
    CHECK(back.nodes == topology::uniform(4, 3));
    CHECK(bits_of(back.costs) == bits_of(costs));

    const auto words_of = [](auto function) {
        try {
            function();
        } catch (const argument_error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    std::ofstream(path) << "{\"nodes\": [1],\n  \"leaf\": {}}";
    CHECK(words_of([&] { read_cluster(path); }).find(path + ":2:3: unknown key \"leaf\"") == 0);
    std::remove(path.c_str());
    for (const std::string& none : {path, std::string("/tmp")})
        CHECK(words_of([&] { read_cluster(none); }) == none + ": expected a file that can be read");
    CHECK(words_of([&] { write_cluster("/tmp", topology::single_node(1), {}); }) ==
          "/tmp: expected a file that can be written");
}

#endif
