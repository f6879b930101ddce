#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "exec/executor_laws.hpp"

/// A training job's many steps, each with another routing: what every step must keep, and a number
/// for all bits that came out, which is the same on every run and over every backend.
namespace soak_laws {

using backend_laws::expect;
using executor_laws::width;
using namespace locmoe;

/// LOCMOE_SOAK_STEPS: 10,000 for the long form.
inline std::size_t steps() {
    const char* const asked = std::getenv("LOCMOE_SOAK_STEPS");
    return asked == nullptr ? 60 : std::strtoull(asked, nullptr, 10);
}

/// What the process holds of memory, in KiB; 0 where the system does not say.
inline std::size_t resident_kib() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "VmRSS:") {
            std::size_t kib = 0;
            status >> kib;
            return kib;
        }
    return 0;
}

struct digest {
    std::uint64_t value = 14695981039346656037u;  // FNV-1a

    void add(std::uint64_t word) { value = (value ^ word) * 1099511628211u; }
    template <class E>
    void add(const std::vector<E>& numbers) {
        std::vector<unsigned char> bytes(numbers.size() * sizeof(E));
        if (!bytes.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
        for (const unsigned char b : bytes) add(std::uint64_t{b});
    }
};

struct outcome {
    digest integers;  ///< alike under every strategy
    digest floats;
    std::size_t early_kib = 0;  ///< after a fifth of the steps
    std::size_t late_kib = 0;
};

/// One step: rows of integers are counted and added up on both sides, floats go by their bits.
template <class Backend, class Executor, class Strategy>
void step(Backend& backend, Executor& ex, const Strategy& strategy,
          const random_cases::job& job, std::uint32_t number, outcome& out) {
    const auto me = static_cast<std::size_t>(backend.rank());
    const assignment& mine = job.assigned[me];
    const exchange_plan plan = ex.plan(mine, strategy);
    std::vector<std::int64_t> x(mine.token_count * width);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<std::int64_t>(backend_laws::mixed(me, i, number, 1));
    std::vector<std::int64_t> rows(plan.expert_row_count() * width, -1);
    ex.dispatch(plan, as_matrix(x, width), as_matrix(rows, width));

    std::vector<std::int64_t> moved(4, 0);  // rows and their sum, as sent and as received
    for (std::size_t i = 0; i < mine.expert.size(); ++i) {
        if (mine.expert[i] == no_expert) continue;
        ++moved[0];
        for (std::size_t c = 0; c < width; ++c) moved[1] += x[i / mine.choice_count * width + c];
    }
    moved[2] = static_cast<std::int64_t>(plan.expert_row_count());
    for (const std::int64_t v : rows) moved[3] += v;
    const std::vector<std::int64_t> total = backend.scan_counts(moved).total;
    expect(total[0] == total[2] && total[1] == total[3],
           detail::concat("step ", number, ": no row is lost or doubled (", job.text, ")"),
           backend.rank());

    // Experts that give back what they got: a token comes home times its kept pairs.
    std::vector<std::int64_t> home(x.size(), -1);
    ex.combine(plan, as_matrix(rows, width), std::vector<float>{}, as_matrix(home, width));
    for (std::size_t t = 0; t < mine.token_count; ++t) {
        std::int64_t kept = 0;
        for (std::size_t s = 0; s < mine.choice_count; ++s)
            kept += mine.expert[t * mine.choice_count + s] != no_expert;
        for (std::size_t c = 0; c < width; ++c)
            expect(home[t * width + c] == kept * x[t * width + c],
                   detail::concat("step ", number, ": every row comes home"), backend.rank());
    }
    out.integers.add(rows);
    out.integers.add(home);

    random_cases::generator g(number * 64 + static_cast<std::uint32_t>(me));
    std::vector<float> y(rows.size());
    std::vector<float> weights(mine.expert.size());
    for (float& v : y) v = static_cast<float>(g.up_to(1 << 20)) / 1023.0f - 300.0f;
    for (float& w : weights) w = static_cast<float>(g.up_to(1 << 20)) / 1048576.0f;
    std::vector<float> sums(x.size());
    ex.combine(plan, as_matrix(y, width), ex.dispatch_weights(plan, weights),
               as_matrix(sums, width));
    out.floats.add(sums);
}

/// `steps` steps on one executor. Every strategy has its turn, or all steps take `only`.
template <class Backend>
outcome run(Backend& backend, std::size_t steps, int only = -1) {
    const std::size_t ranks = backend.rank_count();
    random_cases::generator g(static_cast<std::uint32_t>(ranks));
    const topology nodes = random_cases::any_topology(g, ranks);
    const expert_placement placement = random_cases::any_placement(g, ranks);
    executor ex(backend, nodes, placement);
    outcome out;
    for (std::size_t n = 0; n < steps; ++n) {
        const auto number = static_cast<std::uint32_t>(n);
        random_cases::job job{nodes, placement, {}, {}, detail::concat("step ", n)};
        random_cases::generator draw(number);
        const std::size_t choices = 1 + draw.up_to(3);
        for (std::size_t r = 0; r < ranks; ++r) {
            job.decided.push_back(random_cases::any_routing(draw, placement.expert_count(),
                                                            draw.up_to(16), choices));
            assign_options options;
            if (draw.chance(0.3)) options.capacity = static_cast<std::int64_t>(draw.up_to(6));
            job.assigned.push_back(assign(job.decided.back(), options));
        }
        switch (only < 0 ? static_cast<int>(n % 5) : only) {
            case 0: step(backend, ex, direct{}, job, number, out); break;
            case 1: step(backend, ex, node_aggregated{}, job, number, out); break;
            case 2: step(backend, ex, node_balanced{}, job, number, out); break;
            case 3: step(backend, ex, store_and_forward{}, job, number, out); break;
            default:
                step(backend, ex, node_aggregated{.exact_combine = true}, job, number, out);
        }
        if (n == steps / 5) out.early_kib = resident_kib();
    }
    out.late_kib = resident_kib();
    return out;
}

/// Memory is flat: what the largest step needed was there early on, but for the allocator's slack.
inline void check_memory(const outcome& out, std::size_t steps, rank_id rank) {
    if (steps < 1000) return;
    expect(out.late_kib <= out.early_kib + 4096,
           detail::concat("memory is flat: ", out.early_kib, " KiB early, ", out.late_kib,
                          " KiB in the end"),
           rank);
}

}  // namespace soak_laws
