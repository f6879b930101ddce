// Plans with a few numbers changed: validate either refuses them with plan_error or they do, followed
// row by row, just what their lists of pairs ask for.

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::bytes from(data, size);
    const std::size_t changes = from.below(4);
    const auto job = small_job::make(fuzz::job_numbers(from));
    std::vector<exchange_plan> plans = small_job::plans_of(job);
    const std::vector<exchange_plan> sound = plans;
    for (std::size_t i = 0; i < changes; ++i) fuzz::change_somewhere(plans, from);
    for (const exchange_plan& plan : plans) {
        try {
            validate(plan);
        } catch (const plan_error&) {
            continue;
        }
    }
    try {
        validate(plans);
    } catch (const plan_error& e) {
        if (plans == sound) fuzz::found(std::string("a sound plan refused: ") + e.what());
        return 0;
    }
    const std::string law = plan_oracle::broken_law(plans);
    if (!law.empty()) fuzz::found("a wrong plan let through: " + law);
    use(plans);
    return 0;
}
