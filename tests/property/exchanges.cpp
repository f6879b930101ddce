// The laws of every exchange: random jobs run by threads, every element type and strategy.

#include <cstdint>
#include <exception>

#include "property/small_jobs.hpp"

#include "exec/executor_laws.hpp"
#include "locmoe/exec/in_process.hpp"

using namespace locmoe;

namespace {

template <class E>
void carries_every_row(small_job::numbers n) {
    if (n.strategy % small_job::strategy_count == 9) n.strategy = 1;  // groups have other laws
    const auto j = small_job::make(n);
    try {
        run_in_process(j.drawn.nodes.rank_count(), [&](in_process_backend& backend) {
            executor_laws::carries_every_row<E>(backend, small_job::any_strategy{&j}, j.drawn);
        });
    } catch (const std::exception& e) {
        RC_FAIL(e.what());
    }
}

}  // namespace

TEST_CASE("properties of exchanges") {
    rc::prop("every row arrives, comes home and is counted: float",
             [](const small_job::numbers& n) { carries_every_row<float>(n); });
    rc::prop("every row arrives, comes home and is counted: double",
             [](const small_job::numbers& n) { carries_every_row<double>(n); });
    rc::prop("every row arrives, comes home and is counted: bf16",
             [](const small_job::numbers& n) { carries_every_row<bf16>(n); });
    rc::prop("every row arrives, comes home and is counted: fp16",
             [](const small_job::numbers& n) { carries_every_row<fp16>(n); });
    rc::prop("every row arrives, comes home and is counted: 32-bit integers",
             [](const small_job::numbers& n) { carries_every_row<std::int32_t>(n); });
    rc::prop("every row arrives, comes home and is counted: 64-bit integers",
             [](const small_job::numbers& n) { carries_every_row<std::int64_t>(n); });
}
