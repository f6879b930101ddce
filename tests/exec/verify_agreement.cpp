#include "locmoe/exec/verify_agreement.hpp"

#include <cstddef>
#include <set>

#include "catch.hpp"
#include "exec/fault_laws.hpp"
#include "locmoe/exec/in_process.hpp"

using namespace locmoe;

TEST_CASE("ranks that hold other values than most are named on every rank", "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 3u, 5u, 8u})
        CHECK_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            fault_laws::disagreement_names_the_ranks(backend);
        }));
}

TEST_CASE("many ranks that differ are named in short", "[exec]") {
    CHECK(detail::ranks_text({4}) == "rank 4");
    CHECK(detail::ranks_text({1, 4, 6}) == "ranks 1, 4 and 6");
    CHECK(detail::ranks_text({0, 1, 2, 3, 4, 5, 6, 7}) == "ranks 0, 1, 2, 3, 4, 5, 6 and 7");
    CHECK(detail::ranks_text({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) ==
          "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
}

TEST_CASE("fingerprints tell topologies and placements apart", "[exec]") {
    std::set<std::uint64_t> seen;
    for (std::size_t nodes = 1; nodes <= 8; ++nodes)
        for (std::size_t ranks = 1; ranks <= 8; ++ranks)
            seen.insert(fingerprint(topology::uniform(nodes, ranks)).value());
    CHECK(seen.size() == 64);
    seen.clear();
    for (std::size_t ranks = 1; ranks <= 8; ++ranks)
        for (std::size_t experts = ranks; experts <= 16; ++experts)
            seen.insert(fingerprint(expert_placement::blocked(experts, ranks)).value());
    CHECK(seen.size() == 8 * 17 - 36);
    CHECK(fingerprint("a").add("bc").value() != fingerprint("ab").add("c").value());
}
