#include "locmoe/exec/thread_team.hpp"

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using namespace locmoe;

TEST_CASE("a team runs every part once, more parts than threads or fewer, again and again",
          "[exec]") {
    for (const std::size_t width : {1u, 2u, 5u}) {
        thread_team team(width);
        CHECK(team.width() == width);
        for (const std::size_t parts : {0u, 1u, 2u, 3u, 64u, 1u, 17u}) {
            std::vector<std::atomic<int>> runs(parts);
            team.run(parts, [&](std::size_t part) { ++runs[part]; });
            for (const auto& count : runs) CHECK(count == 1);
        }
    }
}

TEST_CASE("parts of a team run at the same time", "[exec]") {
    thread_team team(3);
    std::atomic<int> here{0};
    team.run(3, [&](std::size_t) {  // ends only when all three have come
        ++here;
        while (here < 3) std::this_thread::yield();
    });
    CHECK(here == 3);
}

TEST_CASE("what the lowest failing part throws comes out, once all are done, and the team goes on",
          "[exec]") {
    thread_team team(4);
    for (int again = 0; again < 20; ++again) {
        std::atomic<int> runs{0};
        std::string words;
        try {
            team.run(8, [&](std::size_t part) {
                ++runs;
                if (part >= 2) throw std::runtime_error(std::to_string(part));
            });
        } catch (const std::runtime_error& e) {
            words = e.what();
        }
        CHECK(words == "2");
        CHECK(runs == 8);
    }
}

TEST_CASE("ranges cover all items once, cut at multiples of the grain", "[exec]") {
    thread_team team(3);
    for (const std::size_t grain : {1u, 4u, 7u})
        for (std::size_t count = 0; count < 40; ++count) {
            std::vector<int> seen(count);
            bool cut_right = true;
            std::atomic<int> ranges{0};
            detail::for_ranges(team, count, grain, [&](std::size_t begin, std::size_t end) {
                ++ranges;
                if (begin % grain != 0 || begin >= end) cut_right = false;
                for (std::size_t i = begin; i < end; ++i) ++seen[i];
            });
            CHECK(cut_right);
            CHECK(ranges <= 3);
            CHECK(seen == std::vector<int>(count, 1));
        }
}
