#include "locmoe/exec/choose_order.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/validate.hpp"
#include "locmoe/tensor/standard.hpp"
#include "random_cases.hpp"

using namespace locmoe;

TEST_CASE("ranks choose orders that fit together, from what all of them send", "[exec][order]") {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        const auto job = random_cases::job_on(6, seed);
        INFO(job.text);
        auto plans = plan_all(direct{}, job.nodes, job.placement, job.assigned);
        const std::size_t count = job.nodes.node_count();
        std::vector<std::int64_t> rows(count * count, 0);
        for (const exchange_plan& p : plans)
            for (const segment& s : p.dispatch.phases[0].sends)
                rows[static_cast<std::size_t>(job.nodes.node_of(p.rank)) * count +
                     static_cast<std::size_t>(job.nodes.node_of(s.peer))] += s.rows;
        const auto expected = open_shop_orders({rows.data(), count, count});
        cluster_costs lossy;
        lossy.inter_node.fan_in_loss = 0.1;
        std::vector<message_order> shop(6), rotated(6), costly(6), lossless(6);
        std::vector<std::vector<float>> got(6), wanted(6);
        run_in_process(6, [&](in_process_backend& backend) {
            const auto me = static_cast<std::size_t>(backend.rank());
            shop[me] = choose_order(backend, job.nodes, plans[me], lossy, {2, 1});
            rotated[me] = choose_order(backend, job.nodes, plans[me], {});
            costly[me] = choose_order(backend, job.nodes, plans[me], lossy);
            lossless[me] = choose_order(backend, job.nodes, plans[me], {}, {.window = 3});
            executor run(backend, job.nodes, job.placement);
            const std::vector<float> tokens(plans[me].token_count, 1.0f + static_cast<float>(me));
            for (auto* to : {&wanted[me], &got[me]}) {
                to->resize(plans[me].expert_row_count());
                run.dispatch(plans[me], as_matrix(tokens, 1), as_matrix(*to, 1));
                plans[me] = ordered(plans[me], job.nodes, shop[me]);
            }
        });
        validate(plans);
        CHECK(got == wanted);
        for (std::size_t r = 0; r < 6; ++r) {
            const node_id node = job.nodes.node_of(static_cast<rank_id>(r));
            CHECK(shop[r].name == "open-shop");
            CHECK(shop[r].window == 2);
            CHECK(shop[r].to == expected[static_cast<std::size_t>(node)].to);
            CHECK(shop[r].from == expected[static_cast<std::size_t>(node)].from);
            CHECK(rotated[r].name == "rotated");
            CHECK(rotated[r].window == 0);
            CHECK(costly[r].window == 2);
            CHECK(lossless[r].window == 0);
            CHECK(rotated[r].to == rotated_order(job.nodes, node).to);
        }
    }
}

TEST_CASE("a plan of another cluster is refused on every rank", "[exec][order]") {
    const auto job = random_cases::job_on(3, 1);
    const auto plans = plan_all(direct{}, job.nodes, job.placement, job.assigned);
    std::vector<std::string> told(3);
    run_in_process(3, [&](in_process_backend& backend) {
        const auto me = static_cast<std::size_t>(backend.rank());
        try {
            choose_order(backend, job.nodes, plans[me == 1 ? 2 : me], {});
        } catch (const backend_error& e) {
            told[me] = e.what();
        }
    });
    for (const std::string& words : told)
        CHECK(words.find("rank 1: choose_order") != std::string::npos);
}
