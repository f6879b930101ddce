#pragma once

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "locmoe/capacity/exact_capacity_plot.hpp"
#include "locmoe/capacity/exact_capacity_report.hpp"
#include "locmoe/core/error.hpp"

#include "measured_step.hpp"
#include "model.hpp"

// Asks for Boost.Math's headers, so only a build that has them includes it.

namespace trainer {

/// The capacity report of a run's last step, which has angles.
inline locmoe::capacity_report capacity_report_of(const measured_step& last,
                                                  const model_shape& shape) {
    const auto width = static_cast<double>(shape.width), inner = static_cast<double>(shape.inner);
    return locmoe::make_capacity_report({.hidden_size = shape.width,
                                         .demand = last.demand,
                                         .capacity = last.capacity,
                                         .load = last.load,
                                         .delta = last.delta,
                                         .row_bytes = shape.width * sizeof(float),
                                         .row_flops = 4 * width * inner});
}

/// Prints the capacity report of a run's last step and writes its figure. Throws argument_error
/// where the file cannot be written.
inline void report_capacity(const std::string& router, const measured_step& last,
                            const model_shape& shape, const std::string& path) {
    if (last.delta.count() == 0) {
        std::printf("\n%s: no gating weights, so no angles and no capacity report\n",
                    router.c_str());
        return;
    }
    const auto report = capacity_report_of(last, shape);
    std::printf("\n%s, the last step: %s", router.c_str(), locmoe::to_text(report).c_str());
    std::ofstream file(path);
    file << locmoe::to_svg(report);
    file.close();
    if (!file) throw locmoe::argument_error("cannot write " + path);
}

}  // namespace trainer
