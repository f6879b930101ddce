#include "locmoe/plan/describe_html.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/plan/choose.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;
using Catch::Contains;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
    return n;
}

/// "" where every element that begins also ends, in order; else what does not.
std::string unclosed(const std::string& html) {
    std::vector<std::string> open;
    for (std::size_t at = html.find('<'); at != html.npos; at = html.find('<', at + 1)) {
        const std::size_t end = html.find('>', at);
        if (end == html.npos) return html.substr(at, 40);
        const std::string tag = html.substr(at + 1, end - at - 1);
        const std::string name = tag.substr(0, tag.find(' '));
        if (name == "!DOCTYPE" || name == "meta" || tag.back() == '/') continue;
        if (name[0] != '/')
            open.push_back(name);
        else if (open.empty() || "/" + open.back() != name)
            return html.substr(at, 40);
        else
            open.pop_back();
    }
    return open.empty() ? "" : open.back();
}

/// [P, P]: 1 + step of each cell that the map by rank has painted, 0 elsewhere.
std::vector<std::size_t> painted(const std::string& html, std::size_t ranks) {
    std::vector<std::size_t> cells(ranks * ranks, 0);
    const std::size_t map = html.find("<title>Bytes of one dispatch from rank to rank");
    const std::size_t end = html.find("</svg>", map);
    for (std::size_t step = 0; step < 8; ++step) {
        const std::string begin = "<path class=\"s" + std::to_string(step) + "\" d=\"";
        std::size_t at = html.find(begin, map);
        if (at > end) continue;
        const char* c = html.c_str() + at + begin.size();
        std::size_t x = 0, y = 0;
        const auto number = [&] {
            char* after = nullptr;
            const auto n = static_cast<std::size_t>(std::strtoul(c, &after, 10));
            c = after;
            return n;
        };
        while (*c != '"') {
            const char command = *c++;
            if (command == 'M') {
                x = number();
                y = number();
            } else if (command == 'm') {
                x += number();
                REQUIRE(number() == 0);
            } else {
                REQUIRE(command == 'h');
                for (std::size_t n = number(); n > 0; --n) {
                    REQUIRE(cells.at(y * ranks + x) == 0);
                    cells[y * ranks + x++] = step + 1;
                }
            }
        }
    }
    return cells;
}

/// Every rank sends `tokens` tokens to two experts, each rank to other ones.
std::vector<assignment> spread_out(std::size_t ranks, std::size_t experts, std::size_t tokens) {
    random_cases::generator g(7);
    std::vector<assignment> all;
    for (std::size_t r = 0; r < ranks; ++r)
        all.push_back(assign(random_cases::any_routing(g, experts, tokens, 2)));
    return all;
}

}  // namespace

TEST_CASE("A page of any job is well-formed and needs nothing from elsewhere", "[plan]") {
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const auto plans =
            best_plan_all(job.nodes, job.placement, job.assigned, {.row_bytes = 64, .costs = {}});
        const std::string html = describe_html(plans, job.nodes, {.row_bytes = 64});
        CHECK(unclosed(html) == "");
        for (const char* outside :
             {"http", "src=", "href=", "url(", "@import", "<script", "nan", "inf"})
            CHECK(html.find(outside) == html.npos);
        for (const char* part :
             {"<h2>Why this strategy</h2>", "<h3>By node</h3>", "<h3>By rank</h3>",
              "<h3>Dispatch, predicted", "<h3>Combine, predicted",
              "<title>Rows of each expert</title>", "<h3>Drops"})
            CHECK(count(html, part) == 1);
        CHECK(count(html, "<svg role=\"img\"") == count(html, "</title><desc>"));
        std::int64_t dropped = 0;
        for (const exchange_plan& p : plans) dropped += p.dropped_pairs;
        CHECK((count(html, "Nothing is dropped") == 1) == (dropped == 0));
    }
}

TEST_CASE("The head says which strategy and why and each candidate has its line", "[plan]") {
    const topology nodes = topology::uniform(4, 2);
    const auto assigned = spread_out(8, 16, 64);
    const auto placement = expert_placement::blocked(16, 8);
    auto plans = best_plan_all(nodes, placement, assigned, {.row_bytes = 4096, .costs = {}});
    plan_choice& why = *plans[0].choice;
    why.candidates.back().declined = "a reason";
    const std::string html = describe_html(plans, nodes, {.row_bytes = 4096});
    CHECK_THAT(
        html,
        Contains("<strong>" + why.chosen().strategy +
                 "</strong>, chosen by price: one dispatch is estimated at " +
                 detail::page::time_text(1e-9 * static_cast<double>(why.chosen().nanoseconds))));
    CHECK_THAT(html,
               Contains("times the lower bound of " +
                        detail::page::time_text(1e-9 * static_cast<double>(why.lower_bound))));
    CHECK_THAT(html, Contains("Runner-up: " + why.candidates[1].strategy));
    for (const cost_estimate& c : why.candidates)
        CHECK_THAT(html, Contains("<tr><td class=\"name\">" + c.strategy + "</td>"));
    CHECK_THAT(html, Contains("declined, for a reason"));
    CHECK_THAT(html, Contains("at least " +
                              detail::page::time_text(
                                  lower_bound(plans, 4096, nodes, cluster_costs{}).seconds()) +
                              ", by a network card"));

    plans[0].choice.reset();
    CHECK_THAT(
        describe_html(plans, nodes, {.row_bytes = 4096}),
        Contains("</strong>, the strategy that was asked for.") && !Contains("Why this strategy"));
}

TEST_CASE("The map by rank paints what the plans send", "[plan]") {
    constexpr std::size_t ranks = 15;
    for (std::uint32_t seed = 0; seed < 12; ++seed) {
        const auto job = random_cases::job_on(ranks, seed, 40);
        INFO(job.text);
        const auto plans = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        std::vector<std::size_t> line(ranks);
        std::size_t next = 0;
        for (std::size_t n = 0; n < job.nodes.node_count(); ++n)
            for (const rank_id r : job.nodes.ranks_of(static_cast<node_id>(n)))
                line[static_cast<std::size_t>(r)] = next++;
        std::vector<std::int64_t> bytes(ranks * ranks, 0);
        for (const exchange_plan& plan : plans)
            for (const phase& p : plan.dispatch.phases)
                for (const segment& s : p.sends)
                    bytes[line[static_cast<std::size_t>(plan.rank)] * ranks +
                          line[static_cast<std::size_t>(s.peer)]] += 100 * s.rows;
        const detail::page::heat_scale scale(bytes);
        const auto cells = painted(describe_html(plans, job.nodes, {.row_bytes = 100}), ranks);
        for (std::size_t i = 0; i < cells.size(); ++i)
            CHECK(cells[i] == (bytes[i] == 0 ? 0 : 1 + scale.step_of(bytes[i])));
    }
}

TEST_CASE("A step of heat begins at its edge", "[plan]") {
    for (const std::int64_t most : {1, 7, 100, 4096, 1000003}) {
        const std::int64_t least = most / 50 + 1;
        const detail::page::heat_scale scale(std::vector<std::int64_t>{0, least, most});
        CHECK(scale.step_of(least) <= scale.step_of(most));
        CHECK(scale.step_of(most) == 7);
        for (std::size_t i = 1; i < 8; ++i) {
            CHECK(scale.step_of(scale.edge(i)) >= i);
            if (scale.edge(i) > 1) CHECK(scale.step_of(scale.edge(i) - 1) < i);
        }
    }
}

TEST_CASE("On a large cluster neighbours share cells and lines and the page says so", "[plan]") {
    const topology nodes = topology::uniform(130, 4);
    const auto plans =
        plan_all(direct{}, nodes, expert_placement::blocked(1040, 520), spread_out(520, 1040, 60));
    const std::string html = describe_html(plans, nodes, {.row_bytes = 1024});
    CHECK(html.size() < 2000000);
    CHECK_THAT(html, Contains("Each cell stands for 3 by 3 ranks"));
    CHECK_THAT(html, Contains(">nodes 0–4</text>"));
    CHECK_THAT(html, Contains(">nodes 125–129</text>"));
    CHECK_THAT(html, Contains("expert, the most of each 5"));

    const topology fewer = topology::uniform(32, 8);
    const std::string by_rank = describe_html(
        plan_all(direct{}, fewer, expert_placement::blocked(256, 256), spread_out(256, 256, 200)),
        fewer, {.row_bytes = 1024});
    CHECK(by_rank.size() < 1000000);
    CHECK_THAT(by_rank, !Contains("Each cell stands for"));
    CHECK(count(by_rank, ">node 31</text>") == 2);  // dispatch and combine
}

TEST_CASE("Measured times get a time line of their own", "[plan]") {
    const topology nodes = topology::uniform(2, 2);
    const auto plans =
        plan_all(node_aggregated{}, nodes, expert_placement::blocked(8, 4), spread_out(4, 8, 50));
    std::vector<std::vector<phase_times>> measured(4);
    for (auto& rank : measured)
        for (std::size_t p = 0; p < plans[0].dispatch.phases.size(); ++p)
            rank.push_back({0.25 + static_cast<double>(p), 0.5 + static_cast<double>(p),
                            1.25 + static_cast<double>(p)});
    page_options options{.row_bytes = 64, .measured_dispatch = measured};
    const std::string html = describe_html(plans, nodes, options);
    CHECK(unclosed(html) == "");
    CHECK_THAT(html, Contains("<h3>Dispatch, measured: 3.25 s until the last phase ends</h3>"));
    CHECK_THAT(html, Contains("<td>250 ms</td><td>1.25 s</td></tr>"));
    CHECK_THAT(html, !Contains("Combine, measured"));

    measured[2].pop_back();
    CHECK_THROWS_WITH(describe_html(plans, nodes, options),
                      Contains("measured_dispatch on rank 2: expected times of 3 phases, got 2"));
    options.measured_dispatch = options.measured_dispatch.first(3);
    CHECK_THROWS_WITH(describe_html(plans, nodes, options), Contains("times of 4 ranks, got 3"));
}

TEST_CASE("Names are shown as they stand whatever they hold", "[plan]") {
    const topology nodes = topology::uniform(2, 1);
    auto plans = plan_all(direct{}, nodes, expert_placement::blocked(2, 2), spread_out(2, 2, 5));
    for (exchange_plan& p : plans) {
        p.strategy = "<script>&\"";
        p.dispatch.phases[0].name = "a<b>";
    }
    const std::string html = describe_html(plans, nodes, {.row_bytes = 8, .title = "</title>"});
    CHECK(unclosed(html) == "");
    CHECK_THAT(html, Contains("<strong>&lt;script&gt;&amp;&quot;</strong>"));
    CHECK_THAT(html, Contains("<h1>&lt;/title&gt;</h1>") && Contains("a&lt;b&gt;"));
}

TEST_CASE("Plans that are not one of each rank in order are refused", "[plan]") {
    const topology nodes = topology::uniform(2, 1);
    auto plans = plan_all(direct{}, nodes, expert_placement::blocked(2, 2), spread_out(2, 2, 5));
    CHECK_THROWS_WITH(describe_html({plans.data(), 1}, nodes, {}),
                      Contains("expected one for each of 2 ranks, got 1"));
    std::swap(plans[0], plans[1]);
    CHECK_THROWS_WITH(describe_html(plans, nodes, {}),
                      Contains("plans[0]: expected rank 0's plan, got rank 1's"));
}

TEST_CASE("Quantities have three digits and the unit that fits", "[plan]") {
    using namespace detail::page;
    CHECK(bytes_text(999) == "999 B");
    CHECK(bytes_text(1000) == "1.00 kB");
    CHECK(bytes_text(999499) == "999 kB");
    CHECK(bytes_text(999500) == "1.00 MB");
    CHECK(bytes_text(12345678901) == "12.3 GB");
    CHECK(time_text(0) == "0 ns");
    CHECK(time_text(2.07e-6) == "2.07 µs");
    CHECK(time_text(0.0999) == "99.9 ms");
    CHECK(time_text(1) == "1.00 s");
    CHECK(count_text(0) == "0");
    CHECK(count_text(999) == "999");
    CHECK(count_text(-1234567) == "-1,234,567");
}
