#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "exec/backend_laws.hpp"
#include "grouped_cases.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/group_wise.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/tensor/standard.hpp"

/// A layer of experts that are split over tensor-parallel groups, forward and backward over the
/// executor, against the same layer with whole experts on one rank. All numbers are small integers,
/// so that every sum is exact, whatever its order.
namespace group_laws {

using backend_laws::expect;
using namespace locmoe;

constexpr std::size_t width = 3;
constexpr std::size_t hidden = 12;  // splits over groups of 1 to 4

/// -1, 0 or 1; `kind` tells the matrices, tokens and gradients apart.
inline double small(std::size_t a, std::size_t b, std::size_t c, std::size_t kind) {
    return static_cast<double>(backend_laws::mixed(a, b, c, kind) % 3) - 1;
}

/// Part [begin, end) of the hidden units of expert e: out += second relu(first in), and the
/// gradient of in. With begin 0 and end `hidden`, the whole expert.
inline void expert_forward(std::size_t e, std::size_t begin, std::size_t end, const double* in,
                           double* out) {
    for (std::size_t h = begin; h < end; ++h) {
        double unit = 0;
        for (std::size_t c = 0; c < width; ++c) unit += small(e, h, c, 1) * in[c];
        for (std::size_t c = 0; unit > 0 && c < width; ++c) out[c] += small(e, h, c, 2) * unit;
    }
}
inline void expert_backward(std::size_t e, std::size_t begin, std::size_t end, const double* in,
                            const double* grad_out, double* grad_in) {
    for (std::size_t h = begin; h < end; ++h) {
        double unit = 0;
        double grad = 0;
        for (std::size_t c = 0; c < width; ++c) {
            unit += small(e, h, c, 1) * in[c];
            grad += small(e, h, c, 2) * grad_out[c];
        }
        for (std::size_t c = 0; unit > 0 && c < width; ++c) grad_in[c] += small(e, h, c, 1) * grad;
    }
}

/// Outputs, and gradients of tokens and weights. Weights are integers as well.
template <class Backend>
void layer_is_that_of_whole_experts(Backend& backend, const grouped_cases::job& job) {
    const auto me = static_cast<std::size_t>(backend.rank());
    const std::size_t group = job.group_of[me];
    const auto law = [&](const char* what) { return detail::concat(what, " (", job.text, ")"); };
    executor ex(backend, job.nodes, job.placement);
    const assignment& mine = job.assigned[me];
    const exchange_plan plan = ex.plan(mine, group_wise{job.group_size});
    expect(plan == plan_all(group_wise{job.group_size}, job.nodes, job.placement,
                            job.assigned)[me],
           law("the plan made over the backend is the one made in one process"), backend.rank());

    const std::size_t tokens = mine.token_count;
    const std::size_t k = mine.choice_count;
    std::vector<double> x, grad;
    std::vector<float> weights;
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t c = 0; c < width; ++c) {
            x.push_back(small(group, t, c, 3) * 2);
            grad.push_back(small(group, t, c, 4));
        }
    for (std::size_t i = 0; i < tokens * k; ++i)
        weights.push_back(static_cast<float>(1 + backend_laws::mixed(group, i, 0, 5) % 4));

    // Whole experts, token by token.
    std::vector<double> out(tokens * width, 0), grad_x(out);
    std::vector<float> grad_weights(weights.size(), 0);
    for (std::size_t i = 0; i < mine.expert.size(); ++i) {
        if (mine.expert[i] == no_expert) continue;
        const auto e = static_cast<std::size_t>(mine.expert[i]);
        const double* in = &x[i / k * width];
        const double* g = &grad[i / k * width];
        double y[width] = {};
        double gy[width];
        double dot = 0;
        expert_forward(e, 0, hidden, in, y);
        for (std::size_t c = 0; c < width; ++c) {
            out[i / k * width + c] += static_cast<double>(weights[i]) * y[c];
            gy[c] = static_cast<double>(weights[i]) * g[c];
            dot += g[c] * y[c];
        }
        expert_backward(e, 0, hidden, in, gy, &grad_x[i / k * width]);
        grad_weights[i] = static_cast<float>(dot);
    }

    // This rank's part of its group's experts.
    std::size_t part = 0;
    while (job.groups[group][part] != backend.rank()) ++part;
    const std::size_t begin = hidden / job.group_size * part;
    const std::size_t end = begin + hidden / job.group_size;
    const std::size_t rows = plan.expert_row_count();
    std::vector<double> in(rows * width), y(rows * width, 0), grad_y(in), grad_in(y);
    backend.sent().clear();
    ex.dispatch(plan, as_matrix(x, width), as_matrix(in, width));
    traffic wire;
    for (std::size_t r = 0; r < backend.rank_count(); ++r) {
        tier_traffic& t = wire.of(job.nodes.tier(backend.rank(), static_cast<rank_id>(r)));
        t.bytes += backend.sent().bytes_to(static_cast<rank_id>(r));
        t.messages += backend.sent().messages_to(static_cast<rank_id>(r));
    }
    traffic planned = plan.traffic(width * sizeof(double));
    planned.intra_node.rows = planned.inter_node.rows = 0;
    expect(wire == planned, law("the plan's traffic is what the backend sent"), backend.rank());
    const auto row_weights = ex.dispatch_weights(plan, weights);
    const auto each_row = [&](auto&& work) {
        for (std::size_t e = 0; e < plan.experts.size(); ++e)
            for (row_index r = plan.expert_first[e]; r < plan.expert_first[e + 1]; ++r)
                work(static_cast<std::size_t>(plan.experts[e]),
                     static_cast<std::size_t>(r) * width);
    };
    each_row([&](std::size_t e, std::size_t at) {
        expert_forward(e, begin, end, &in[at], &y[at]);
    });
    std::vector<double> got(tokens * width, 99);
    ex.combine(plan, as_matrix(y, width), row_weights, as_matrix(got, width));
    expect(got == out, law("every rank of a group gets the sums of the partial outputs"),
           backend.rank());

    std::vector<float> got_weights(weights.size(), 99);
    ex.combine_backward(plan, as_matrix(grad, width), as_matrix(y, width), row_weights,
                        as_matrix(grad_y, width), got_weights);
    expect(got_weights == grad_weights, law("each rank gets the whole gradient of a weight"),
           backend.rank());
    each_row([&](std::size_t e, std::size_t at) {
        expert_backward(e, begin, end, &in[at], &grad_y[at], &grad_in[at]);
    });
    ex.dispatch_backward(plan, as_matrix(grad_in, width), as_matrix(got, width));
    expect(got == grad_x, law("dispatch_backward adds up the partial gradients of a group"),
           backend.rank());
}

}  // namespace group_laws
