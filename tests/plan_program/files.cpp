// Routings from files, and drawn ones.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "random_cases.hpp"
#include "routings.hpp"
#include "run_program.hpp"

using namespace plan_program;
using Catch::Contains;

namespace {

/// What numpy.save writes.
std::string npy(const std::string& type, const std::string& shape,
                const std::vector<std::int64_t>& ids, int version = 1,
                const std::string& order = "False") {
    std::string header =
        "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
    header.resize((header.size() + 64) / 64 * 64, ' ');
    header.back() = '\n';
    std::string bytes = "\x93NUMPY";
    bytes += static_cast<char>(version);
    bytes += '\0';
    for (std::size_t i = 0; i < (version == 1 ? 2u : 4u); ++i)
        bytes += static_cast<char>(header.size() >> 8 * i & 255);
    bytes += header;
    const int size = type.back() - '0';
    for (const std::int64_t id : ids)
        for (int b = 0; b < size; ++b) {
            const int shift = 8 * (type[0] == '>' ? size - 1 - b : b);
            bytes += static_cast<char>(static_cast<std::uint64_t>(id) >> shift & 255);
        }
    return bytes;
}

std::string refusal_npy(const std::string& bytes) {
    try {
        npy_reader("a.npy", bytes).read();
    } catch (const locmoe::argument_error& e) {
        return e.what();
    }
    return "nothing refused";
}

std::string refusal_json(const std::string& text) {
    try {
        json_ids_reader("a.json").read(text);
    } catch (const locmoe::argument_error& e) {
        return e.what();
    }
    return "nothing refused";
}

}  // namespace

TEST_CASE("An npy file of either width and byte order and any version gives its ids") {
    const std::vector<std::int64_t> ids = {0, -1, 255, 65536, 2147483646, 3};
    for (const char* type : {"<i4", ">i4", "<i8", ">i8"})
        for (const int version : {1, 2, 3})
            for (const auto& [text, shape] :
                 {std::pair<const char*, std::vector<std::size_t>>{"(3, 2)", {3, 2}},
                  {"(1, 3, 2)", {1, 3, 2}},
                  {"(6,1,)", {6, 1}}}) {
                INFO(type << " " << version << " " << text);
                const std::string bytes = npy(type, text, ids, version);
                const expert_ids read = npy_reader("a.npy", bytes).read();
                CHECK(read.shape == shape);
                CHECK(std::vector<std::int64_t>(read.ids.begin(), read.ids.end()) == ids);
            }
}

TEST_CASE("An npy file that says another thing than it holds is refused with the reason") {
    CHECK(refusal_npy("") == "a.npy: expected a .npy file, got one that does not begin as one");
    CHECK_THAT(refusal_npy(npy("<f4", "(1, 2)", {1, 2})), Contains("expected int32 or int64"));
    CHECK_THAT(refusal_npy(npy("<u4", "(1, 2)", {1, 2})), Contains("got '<u4'"));
    CHECK_THAT(refusal_npy(npy("<i4", "(1, 2)", {1, 2}, 1, "True")),
               Contains("expected C order, got Fortran order"));
    CHECK_THAT(refusal_npy(npy("<i4", "(2,)", {1, 2})), Contains("expected a shape [T, k]"));
    CHECK_THAT(refusal_npy(npy("<i4", "()", {1})), Contains("expected a shape [T, k]"));
    CHECK_THAT(refusal_npy(npy("<i4", "(1, 1, 1, 2)", {1, 2})), Contains("more than 3 dimensions"));
    CHECK_THAT(refusal_npy(npy("<i4", "(1, 3)", {1, 2})), Contains("as many bytes as its shape"));
    CHECK_THAT(refusal_npy(npy("<i4", "(1, 1)", {1, 2})), Contains("as many bytes as its shape"));
    CHECK_THAT(refusal_npy(npy("<i4", "(-1, 2)", {1, 2})), Contains("the header that numpy.save"));
    CHECK_THAT(refusal_npy(npy("<i4", "(4294967296, 4294967296)", {})), Contains("as many bytes"));
    CHECK_THAT(refusal_npy(npy("<i4", "(18446744073709551617, 2)", {1, 2})),
               Contains("as many bytes"));
    CHECK_THAT(refusal_npy(npy("<i4", "(1, 2)", {1, -2})),
               Contains("a.npy: [0][1]: expected an expert's id") && Contains("got -2"));
    CHECK_THAT(refusal_npy(npy("<i8", "(1, 2)", {std::int64_t{1} << 40, 1})), Contains("[0][0]"));
    std::string version = npy("<i4", "(1, 2)", {1, 2});
    version[6] = 4;
    CHECK_THAT(refusal_npy(version), Contains("got 4.0"));
    std::string length = npy("<i4", "(1, 2)", {1, 2}, 2);
    length[11] = '\x7f';
    CHECK_THAT(refusal_npy(length), Contains("at most 65535 bytes"));
}

TEST_CASE("No damage to an npy file does more than have it refused") {
    const std::string good = npy("<i8", "(2, 2)", {0, 1, 2, 3});
    for (std::size_t end = 0; end < good.size(); ++end)
        CHECK(refusal_npy(good.substr(0, end)) != "nothing refused");
    random_cases::generator g(3);
    for (int i = 0; i < 3000; ++i) {
        std::string bad = good;
        for (std::size_t n = 1 + g.up_to(3); n > 0; --n)
            bad[g.up_to(bad.size() - 1)] = static_cast<char>(g.up_to(255));
        refusal_npy(bad);
    }
}

TEST_CASE("Nested arrays in JSON give their ids and what is ragged or no id is refused by place") {
    const expert_ids flat = json_ids_reader("a.json").read("[[1, 2], [3, -1], [0, 5]]");
    CHECK(flat.shape == std::vector<std::size_t>{3, 2});
    CHECK(flat.ids == std::vector<locmoe::expert_id>{1, 2, 3, -1, 0, 5});
    const expert_ids by_rank = json_ids_reader("a.json").read("[[[1], [2]], [[3], [4]]]");
    CHECK(by_rank.shape == std::vector<std::size_t>{2, 2, 1});
    CHECK(by_rank.ids == std::vector<locmoe::expert_id>{1, 2, 3, 4});

    CHECK(refusal_json("[[1, 2], [3]]") ==
          "a.json: [1]: expected 2 entries, as in those before, got 1");
    CHECK(refusal_json("[[[1], [2]], [[3]]]") ==
          "a.json: [1]: expected 2 entries, as in those before, got 1");
    CHECK(refusal_json("[[1, 2.5]]") == "a.json: [0][1]: expected an id or an array, got 2.5");
    CHECK(refusal_json("[[1, -2]]") ==
          "a.json: [0][1]: expected an expert's id, 0 to 2147483646, or -1 for none, got -2");
    CHECK_THAT(refusal_json("[[1, 18446744073709551615]]"), Contains("[0][1]"));
    CHECK_THAT(refusal_json("[[1], 2]"), Contains("a.json: [1]: expected an array, as before"));
    CHECK_THAT(refusal_json("[[1], [[2]]]"), Contains("a.json: [1][0]: expected an id, as before"));
    CHECK_THAT(refusal_json("[1, 2]"), Contains("[T][k] or [P][T][k], got one array of ids"));
    CHECK_THAT(refusal_json("7"), Contains("a.json: expected an array, got a number"));
    CHECK_THAT(refusal_json("{}"), Contains("a.json: expected an array, got an object"));
    CHECK_THAT(refusal_json("[]"), Contains("a.json: expected at least one entry"));
    CHECK_THAT(refusal_json("[[1], []]"), Contains("a.json: [1]: expected at least one entry"));
    CHECK_THAT(refusal_json("[[[[1]]]]"), Contains("the fourth dimension"));
    CHECK_THAT(refusal_json(std::string(1 << 20, '[')), Contains("the fourth dimension"));
    CHECK_THAT(refusal_json("[[1, 2]"), Contains("a.json: expected JSON"));
    CHECK_THAT(refusal_json("[[1, 2]] x"), Contains("a.json: expected JSON"));
    CHECK_THAT(refusal_json(""), Contains("a.json: expected JSON"));
}

TEST_CASE("One file is split evenly over ranks and a dimension or a file a rank is its own") {
    const scratch_folder folder;
    const auto one = folder.write("one.json", "[[0], [1], [2], [3], [4]]");
    const auto split = read_routings({one}, 2, 0);
    REQUIRE(split.size() == 2);
    CHECK(split[0].chosen == std::vector<locmoe::expert_id>{0, 1});
    CHECK(split[1].chosen == std::vector<locmoe::expert_id>{2, 3, 4});
    CHECK(split[0].expert_count == 5);
    CHECK(read_routings({one}, 2, 9)[1].expert_count == 9);
    CHECK(read_routings({one}, 7, 0).size() == 7);  // some ranks hold no token

    const auto by_rank = folder.write("by_rank.npy", npy("<i4", "(2, 1, 2)", {0, 1, 2, 3}));
    CHECK(read_routings({by_rank}, 2, 0)[1].chosen == std::vector<locmoe::expert_id>{2, 3});
    const auto other = folder.write("other.json", "[[7]]");
    const auto files = read_routings({one, other}, 2, 0);
    CHECK(files[0].token_count == 5);
    CHECK(files[1].chosen == std::vector<locmoe::expert_id>{7});
    CHECK(files[0].expert_count == 8);

    CHECK_THROWS_WITH(read_routings({one, other}, 3, 0),
                      "--routing: expected one file, or one for each of 3 ranks, got 2");
    CHECK_THROWS_WITH(read_routings({by_rank}, 3, 0),
                      Contains("expected [P, T, k] of P = 3 ranks, got [2, 1, 2]"));
    CHECK_THROWS_WITH(read_routings({one, by_rank}, 2, 0), Contains("expected [T, k] of one rank"));
    const auto pairs = folder.write("pairs.json", "[[7, 8]]");
    CHECK_THROWS_WITH(read_routings({one, pairs}, 2, 0), Contains("expected k = 1, as in"));
    CHECK_THROWS_WITH(read_routings({one}, 2, 4),
                      "--experts: expected at least 5, for the routing names expert 4, got 4");
    CHECK_THROWS_WITH(read_routings({folder / "none.npy"}, 2, 0), Contains("expected a file"));
    CHECK_THROWS_WITH(read_routings({folder.path.string() + "/.npy/"}, 2, 0), Contains("expected"));
    CHECK_THROWS_WITH(read_routings({"/dev/zero.npy"}, 2, 0), Contains("expected a file"));
    CHECK_THROWS_WITH(read_routings({folder.write("a.txt", "1")}, 2, 0), Contains(".npy or .json"));
    const auto empty = folder.write("empty.npy", npy("<i4", "(0, 2)", {}));
    CHECK_THROWS_WITH(read_routings({empty}, 2, 0), Contains("expected at least one token"));
}

TEST_CASE("A drawn token names different experts at odds that fall as asked") {
    for (const double exponent : {0.0, 1.0, 4.0, 16.0}) {
        constexpr std::size_t experts = 12;
        std::vector<double> odds;
        double sum = 0;
        for (std::size_t i = 1; i <= experts; ++i) {
            odds.push_back(std::pow(static_cast<double>(i), -exponent));
            sum += odds.back();
        }
        const auto single = draw_routings(3, 2000, 1, experts, exponent, 5);
        std::vector<std::int64_t> load(experts, 0);
        for (const auto& r : single) {
            const auto own = count_choices(r);
            for (std::size_t e = 0; e < experts; ++e) load[e] += own[e];
        }
        std::sort(load.rbegin(), load.rend());
        for (std::size_t i = 0; i < experts; ++i) {
            const double mean = 6000 * odds[i] / sum;
            INFO(exponent << ": " << i);
            if (exponent != 0)
                CHECK(std::fabs(static_cast<double>(load[i]) - mean) < 6 + 5 * std::sqrt(mean));
        }
        if (exponent == 0) CHECK(load.back() > 400);

        for (const std::size_t k : {std::size_t{2}, std::size_t{5}, experts})
            for (const auto& r : draw_routings(2, 200, k, experts, exponent, 9))
                for (std::size_t t = 0; t < 200; ++t) {
                    std::vector<char> named(experts, 0);
                    for (std::size_t s = 0; s < k; ++s)
                        CHECK(std::exchange(named.at(static_cast<std::size_t>(r.expert(t, s))),
                                            1) == 0);
                }
    }
}

TEST_CASE("A second choice is drawn at the odds of what is left") {
    constexpr std::size_t experts = 4, tokens = 40000;
    const auto drawn = draw_routings(1, tokens, 2, experts, 1, 5)[0];
    std::vector<std::vector<double>> met(experts, std::vector<double>(experts, 0));
    std::vector<double> first(experts, 0);
    for (std::size_t t = 0; t < tokens; ++t) {
        const auto one = static_cast<std::size_t>(drawn.expert(t, 0));
        ++first[one];
        ++met[one][static_cast<std::size_t>(drawn.expert(t, 1))];
    }
    std::vector<double> odds(experts);  // of each expert, by how often it comes first
    for (std::size_t e = 0; e < experts; ++e) {
        std::size_t before = 0;
        for (std::size_t o = 0; o < experts; ++o) before += first[o] > first[e];
        odds[e] = 1.0 / static_cast<double>(before + 1);
    }
    const double sum = 1 + 1.0 / 2 + 1.0 / 3 + 1.0 / 4;
    for (std::size_t i = 0; i < experts; ++i)
        for (std::size_t j = 0; j < experts; ++j) {
            const double mean = i == j ? 0 : tokens * odds[i] / sum * odds[j] / (sum - odds[i]);
            INFO(i << " then " << j);
            CHECK(std::fabs(met[i][j] - mean) <= 5 * std::sqrt(mean));
        }
}

TEST_CASE("The seed gives the draw") {
    CHECK(draw_routings(2, 50, 2, 8, 1, 3)[1].chosen == draw_routings(2, 50, 2, 8, 1, 3)[1].chosen);
    CHECK(draw_routings(2, 50, 2, 8, 1, 3)[1].chosen != draw_routings(2, 50, 2, 8, 1, 4)[1].chosen);
}
