#pragma once

#include <cstdint>
#include <vector>

namespace trainer {

/// Rows for the model: whole sequences, [T] each.
struct batch {
    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> targets;
    std::vector<std::int32_t> domains;  ///< which domain a row's text is of

    void clear() {
        ids.clear();
        targets.clear();
        domains.clear();
    }
};

}  // namespace trainer
