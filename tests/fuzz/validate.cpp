// Plans with a few numbers changed, several times over: validate either refuses them with plan_error or
// they do, followed row by row, just what their lists of pairs ask for.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/bytes.hpp"
#include "fuzz/plan_numbers.hpp"
#include "locmoe/plan/describe.hpp"
#include "locmoe/plan/split.hpp"
#include "locmoe/plan/transpose.hpp"
#include "locmoe/plan/validate.hpp"
#include "plan_oracle.hpp"

using namespace locmoe;

namespace {

/// What may be asked of any plan that validate lets through.
void use(const std::vector<exchange_plan>& plans) {
    for (const exchange_plan& plan : plans) {
        if (describe(plan, 4096).empty() || describe_json(plan, 4096).empty())
            fuzz::found("a plan without a description");
        transpose(plan.dispatch);
        transpose(plan.combine);
    }
    try {
        for (const auto& chunk : split_all(plans, 2)) validate(chunk);
    } catch (const plan_error& e) {
        // A plan that is not the library's own may have a combine that does not mirror dispatch.
        if (std::string(e.what()).find("split") == std::string::npos) throw;
    }
}

/// Changes the plans a little and holds validate to what it says of them.
void break_and_ask(std::vector<exchange_plan> plans, std::size_t changes, fuzz::bytes& from) {
    const std::vector<exchange_plan> sound = plans;
    for (std::size_t i = 0; i < changes; ++i) fuzz::change_somewhere(plans, from);
    try {
        for (const exchange_plan& plan : plans) validate(plan);
        validate(plans);
    } catch (const plan_error& e) {
        if (plans == sound) fuzz::found(std::string("a sound plan refused: ") + e.what());
        return;
    }
    const std::string law = plan_oracle::broken_law(plans);
    if (!law.empty()) fuzz::found("a wrong plan let through: " + law);
    if (plans != sound || changes == 0) use(plans);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::bytes from(data, size);
    const auto job = small_job::make(fuzz::job_numbers(from));
    const std::vector<exchange_plan> plans = small_job::plans_of(job);
    do {
        const std::size_t changes = from.below(4);
        break_and_ask(plans, changes, from);
    } while (!from.empty());
    return 0;
}
