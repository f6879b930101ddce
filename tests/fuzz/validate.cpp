// Plans with a few numbers changed, several times over: validate either refuses them with plan_error or
// they do, followed row by row, just what their lists of pairs ask for.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
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

/// Plans of one of many small jobs, made and followed once.
const std::vector<exchange_plan>& plans_of(std::size_t number) {
    static std::map<std::size_t, std::vector<exchange_plan>> known;
    auto& plans = known[number];
    if (plans.empty()) {
        std::uint8_t drawn[96];
        std::uint64_t state = number;
        for (std::uint8_t& value : drawn) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            value = static_cast<std::uint8_t>(state >> 56);
        }
        fuzz::bytes from(drawn, sizeof drawn);
        plans = small_job::plans_of(small_job::make(fuzz::job_numbers(from)));
        validate(plans);
        const std::string law = plan_oracle::broken_law(plans);
        if (!law.empty()) fuzz::found("the library's own plan is wrong: " + law);
        use(plans);
    }
    return plans;
}

/// Holds validate to what it says of the plans, of which only those of the ranks `touched` may
/// differ from sound ones.
void ask(const std::vector<exchange_plan>& plans, const std::vector<exchange_plan>& sound,
         const std::vector<std::size_t>& touched) {
    bool changed = false;
    for (const std::size_t r : touched) changed = changed || !(plans[r] == sound[r]);
    try {
        for (const std::size_t r : touched) validate(plans[r]);
        validate(plans);
    } catch (const plan_error& e) {
        if (!changed) fuzz::found(std::string("a sound plan refused: ") + e.what());
        return;
    }
    if (!changed) return;
    const std::string law = plan_oracle::broken_law(plans);
    if (!law.empty()) fuzz::found("a wrong plan let through: " + law);
    use(plans);
}

/// How many changed plans validate was asked about, printed in the end.
struct tally {
    std::size_t asked = 0;
    ~tally() { std::fprintf(stderr, "%zu changed plans\n", asked); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static tally count;
    fuzz::bytes from(data, size);
    const std::vector<exchange_plan>& sound = plans_of(from.next() + 256u * from.below(4));
    std::vector<exchange_plan> plans = sound;
    std::vector<std::size_t> touched;
    while (!from.empty()) {
        touched.clear();
        const std::size_t changes = 1 + from.below(3);
        for (std::size_t i = 0; i < changes; ++i) fuzz::change_somewhere(plans, from, touched);
        ask(plans, sound, touched);
        for (const std::size_t r : touched) plans[r] = sound[r];
        ++count.asked;
    }
    return 0;
}
