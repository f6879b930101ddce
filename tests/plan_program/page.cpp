// The page as a browser has it.

#include <cctype>
#include <string>

#include "catch.hpp"
#include "locmoe/plan/describe_html.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/simulate.hpp"
#include "random_cases.hpp"
#include "run_program.hpp"

using Catch::Contains;

namespace {

/// What the browser made of a file.
std::string dom_of(const std::string& file, const scratch_folder& folder) {
    const auto e = run("HOME='" + folder.path.string() +
                           "' timeout -k 5 60 '" LOCMOE_CHROMIUM
                           "' --headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
                           "--hide-scrollbars --window-size=1100,900 --user-data-dir='" +
                           (folder / "browser") + "' --dump-dom 'file://" + file + "'",
                       folder);
    INFO(e.said);
    REQUIRE(e.code == 0);
    return e.out;
}

std::string without_blanks(const std::string& text) {
    std::string kept;
    for (const char c : text)
        if (std::isspace(static_cast<unsigned char>(c)) == 0) kept += c;
    return kept;
}

/// Puts into the body what is cut off or printed over other words, and whether the page is wider
/// than its window.
const char* inspection = R"(<script>
const cut = [], over = [];
for (const svg of document.querySelectorAll('svg')) {
    const view = svg.viewBox.baseVal, boxes = [];
    for (const text of svg.querySelectorAll('text')) {
        const b = text.getBBox();
        if (b.x < -0.5 || b.y < -0.5 || b.x + b.width > view.width + 0.5 ||
            b.y + b.height > view.height + 0.5) cut.push(text.textContent);
        for (const [o, words] of boxes)
            if (b.x < o.x + o.width - 0.5 && o.x < b.x + b.width - 0.5 &&
                b.y < o.y + o.height - 5 && o.y < b.y + b.height - 5)
                over.push(words + ' / ' + text.textContent);
        boxes.push([b, text.textContent]);
    }
}
document.documentElement.setAttribute('data-found',
    'cut: ' + cut.join(', ') + '; over: ' + over.join(', ') + '; wide: ' +
    (document.documentElement.scrollWidth > innerWidth) + '; drawings: ' +
    document.querySelectorAll('svg').length + '.');
</script>)";

void check_text(const std::string& page, int drawings) {
    const scratch_folder folder;
    const std::string file = folder.write("page.html", page);
    CHECK(page.size() < 2000000);

    // A browser that mends nothing has what was written, but for how it spells empty elements.
    std::string spelled;
    for (std::size_t at = 0; at < page.size();) {
        const std::size_t end = page.find("/>", at);
        if (end == page.npos) {
            spelled += page.substr(at);
            break;
        }
        const std::size_t begin = page.rfind('<', end) + 1;
        spelled += page.substr(at, end - at) + "></" +
                   page.substr(begin, page.find(' ', begin) - begin) + ">";
        at = end + 2;
    }
    const std::string has = without_blanks(dom_of(file, folder)), had = without_blanks(spelled);
    std::size_t same = 0;
    while (same < has.size() && same < had.size() && has[same] == had[same]) ++same;
    CHECK(has.substr(same, 60) == had.substr(same, 60));

    const std::string dom = dom_of(folder.write("inspected.html", page + inspection), folder);
    const std::size_t found = dom.find("data-found=\"");
    REQUIRE(found != dom.npos);
    const std::size_t begin = found + 12;
    CHECK(dom.substr(begin, dom.find('"', begin) - begin) ==
          "cut: ; over: ; wide: false; drawings: " + std::to_string(drawings) + ".");
}

void check_page(const std::string& cluster, const std::string& options, int drawings) {
    const scratch_folder folder;
    const std::string file = folder / "page.html";
    const auto e =
        run(LOCMOE_PLAN " " + (cluster.front() == '{' ? folder.write("c.json", cluster) : cluster) +
                " " + options + " --html " + file,
            folder);
    INFO(e.said);
    REQUIRE(e.code == 0);
    check_text(text_of(file), drawings);
}

}  // namespace

TEST_CASE("A browser finds nothing to mend and nothing cut off on a page of 4 ranks") {
    check_page(R"({"nodes": {"count": 2, "ranks": 2}})", "--zipf 1 --tokens 512", 5);
    check_page(R"({"nodes": {"count": 1, "ranks": 4}})", "--uniform --tokens 64 --capacity 1", 6);
}

TEST_CASE("A browser finds nothing to mend and nothing cut off on a page of a measured run") {
    const auto job = random_cases::job_on(5, 3);
    const auto plans =
        plan_all(locmoe::node_aggregated{}, job.nodes, job.placement, job.assigned);
    const auto out = simulate(plans, &locmoe::exchange_plan::dispatch, 512, job.nodes, {});
    const auto back = simulate(plans, &locmoe::exchange_plan::combine, 512, job.nodes, {});
    check_text(locmoe::describe_html(
                   plans, job.nodes,
                   {.row_bytes = 512,
                    .title = "Measured & predicted",
                    .measured_dispatch = out.phases,
                    .measured_combine = back.phases,
                    .capacity_svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 90 "
                                    "60\"><path stroke=\"#f00\" d=\"M0 0L90 60\"/></svg>"}),
               8);
}

TEST_CASE("A browser finds nothing to mend and nothing cut off on a page of 256 ranks") {
    check_page(LOCMOE_PLAN_CLUSTER, "--zipf 1 --tokens 128 --choices 8 --experts 256 --capacity 2",
               6);
    check_page(LOCMOE_PLAN_CLUSTER,
               "--uniform --tokens 64 --strategy 'node_aggregated, 16 chunks' --experts 512", 5);
}

TEST_CASE("A browser finds nothing to mend and nothing cut off on a page of 600 ranks") {
    check_page(R"({"nodes": {"count": 300, "ranks": 2}})", "--uniform --tokens 4 --experts 600", 5);
}
