#include "text_data.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "catch.hpp"
#include "held_out.hpp"
#include "shards.hpp"

namespace {

using namespace trainer;
using locmoe::rank_id;
using locmoe::topology;

/// A folder that goes away with the test.
struct scratch_folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("locmoe_text_data_" + std::to_string(getpid()));
    scratch_folder() { std::filesystem::create_directories(path); }
    ~scratch_folder() { std::filesystem::remove_all(path); }
    void write(const std::string& name, const std::string& content) const {
        std::filesystem::create_directories((path / name).parent_path());
        std::ofstream(path / name) << content;
    }
};

domain made_up(const std::string& name, std::vector<std::size_t> sizes) {
    domain d{name, {}};
    std::uint8_t next = 0;
    for (const std::size_t size : sizes) {
        d.files.emplace_back(size);
        for (auto& byte : d.files.back()) byte = next++;
    }
    return d;
}

}  // namespace

TEST_CASE("Domains are read from folders and from files, by name, and nothing else is") {
    const scratch_folder folder;
    folder.write("b/2.txt", "second");
    folder.write("b/1.txt", "first");
    folder.write("b/notes.md", "no text");
    folder.write("a.txt", "a file");
    folder.write("empty/notes.md", "no text");
    const auto domains = read_domains(folder.path);
    REQUIRE(domains.size() == 2);
    CHECK(domains[0].name == "a");
    CHECK(domains[1].name == "b");
    REQUIRE(domains[1].files.size() == 2);
    CHECK(std::string(domains[1].files[0].begin(), domains[1].files[0].end()) == "first");
}

TEST_CASE("A folder that is missing or without text is refused") {
    const scratch_folder folder;
    CHECK_THROWS_AS(read_domains(folder.path / "nowhere"), locmoe::argument_error);
    CHECK_THROWS_AS(read_domains(folder.path), locmoe::argument_error);
}

TEST_CASE("Training and held-out text are each file's two parts, the last tenth held out") {
    for (const std::size_t size : {0u, 1u, 9u, 10u, 105u, 1000u}) {
        const auto d = made_up("d", {size, 50});
        const auto training = d.training(), held_out = d.held_out();
        REQUIRE(training.size() == 2);
        CHECK(training[0].size() + held_out[0].size() == size);
        CHECK(held_out[0].size() == size / 10);
        CHECK(training[0].data() + training[0].size() == held_out[0].data());
        CHECK(training[1].data() == d.files[1].data());
    }
}

TEST_CASE("Every domain has readers, every rank a domain, and by domain none leaves its node") {
    for (const auto& nodes :
         {topology::uniform(2, 2), topology::uniform(1, 1), topology::uniform(4, 1),
          topology::from_node_of_rank({0, 1, 1, 1, 0, 2})})
        for (std::size_t domains = 1; domains <= 7; ++domains) {
            INFO(nodes.rank_count() << " ranks, " << domains << " domains");
            const auto all = shards::shuffled(domains, nodes);
            const auto own = shards::by_domain(domains, nodes);
            std::vector<bool> reads(nodes.rank_count(), false);
            for (std::size_t d = 0; d < domains; ++d) {
                CHECK(all.readers[d].size() == nodes.rank_count());
                REQUIRE(!own.readers[d].empty());
                for (std::size_t i = 0; i < own.readers[d].size(); ++i) {
                    const rank_id r = own.readers[d][i];
                    reads[static_cast<std::size_t>(r)] = true;
                    CHECK((i == 0 || own.readers[d][i - 1] < r));
                    if (domains >= nodes.node_count()) CHECK(nodes.same_node(r, own.readers[d][0]));
                }
            }
            for (const bool r : reads) CHECK(r);
        }
    const auto usual = shards::by_domain(4, topology::uniform(2, 2));
    for (std::size_t d = 0; d < 4; ++d)
        CHECK(usual.readers[d] == std::vector<rank_id>{static_cast<rank_id>(d)});
}

TEST_CASE("Each held-out byte is predicted once, from the bytes before it") {
    const auto nodes = topology::uniform(2, 2);
    const std::vector<domain> domains = {made_up("a", {1003, 30}), made_up("b", {400}),
                                         made_up("c", {5})};
    for (const auto& shared : {shards::shuffled(3, nodes), shards::by_domain(3, nodes)})
        for (const std::size_t length : {1u, 7u, 8u, 64u}) {
            INFO("length " << length);
            std::vector<std::vector<std::vector<int>>> predicted;
            for (const domain& d : domains) {
                predicted.emplace_back();
                for (const text& t : d.held_out()) predicted.back().emplace_back(t.size(), 0);
            }
            for (rank_id r = 0; r < 4; ++r)
                for (const auto& window : held_out_windows(domains, shared, r, length)) {
                    batch rows;
                    append(window, length, rows);
                    REQUIRE(rows.ids.size() == length);
                    REQUIRE(rows.targets.size() == length);
                    REQUIRE(rows.domains.size() == length);
                    std::size_t counted = 0;
                    for (std::size_t i = 0; i < length; ++i) {
                        if (rows.targets[i] == no_target) continue;
                        const std::size_t at = window.first + counted++;
                        CHECK(rows.targets[i] == window.from[at]);
                        for (std::size_t back = 0; back <= i && back < at; ++back)
                            CHECK(rows.ids[i - back] == window.from[at - 1 - back]);
                        if (i < at) CHECK(i + 1 >= std::min(length / 2, at));
                        for (std::size_t d = 0; d < domains.size(); ++d)
                            for (std::size_t f = 0; f < domains[d].files.size(); ++f)
                                if (domains[d].held_out()[f].data() == window.from.data()) {
                                    ++predicted[d][f][at];
                                    CHECK(rows.domains[i] == static_cast<std::int32_t>(d));
                                }
                    }
                    CHECK(counted == window.end - window.first);
                }
            for (const auto& of_domain : predicted)
                for (const auto& of_file : of_domain)
                    for (const int times : of_file) CHECK(times == 1);
        }
}

TEST_CASE("Training sequences are stretches of one text, and the same seed draws the same") {
    const std::vector<domain> domains = {made_up("d", {200, 30, 120})};
    const auto texts = training_texts(domains, shards::shuffled(1, topology::uniform(1, 1)), 0);
    const training_sampler sampler(texts, 20);
    batch a, b, c;
    sampler.draw(1, 50, a);
    sampler.draw(1, 50, b);
    sampler.draw(2, 50, c);
    CHECK(a.ids == b.ids);
    CHECK(a.ids != c.ids);
    REQUIRE(a.ids.size() == 1000);
    for (std::size_t i = 0; i < 1000; ++i) {
        CHECK(a.targets[i] == (a.ids[i] + 1) % 256);
        if (i % 20 != 19) CHECK(a.ids[i + 1] == a.targets[i]);
    }
    CHECK_THROWS_AS(training_sampler(texts, 500), locmoe::argument_error);
}

TEST_CASE("Each drawn row names the domain of its text") {
    std::vector<domain> domains = {made_up("low", {300}), made_up("other", {300}),
                                   made_up("high", {200, 100})};
    for (auto& byte : domains[0].files[0]) byte = 0;
    for (auto& file : domains[2].files)
        for (auto& byte : file) byte = 2;
    shards some = shards::shuffled(3, topology::uniform(1, 2));
    some.readers[1] = {1};
    batch rows;
    training_sampler(training_texts(domains, some, 0), 20).draw(3, 40, rows);
    REQUIRE(rows.domains.size() == rows.ids.size());
    CHECK(rows.domains == rows.ids);
    std::size_t high = 0;
    for (const auto d : rows.domains) high += d == 2;
    CHECK(high > 0);
    CHECK(high < rows.domains.size());
}
