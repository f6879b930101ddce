#pragma once

#include <cstddef>
#include <vector>

#include "locmoe/exec/backend.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0::detail {

/// A phase's messages as blocks for `start`, in the phase's order. Rows without bytes send nothing.
struct phase_blocks {
    std::vector<send_block> sends;
    std::vector<receive_block> receives;
    std::vector<receive_block> paced;
    std::size_t window = 0;

    /// `packed` and `staging`: where rows 0 of the phase's pack and of the flow's staging stand.
    void list(const phase& p, std::size_t row_bytes, const std::byte* packed, std::byte* staging) {
        sends.clear();
        receives.clear();
        paced.clear();
        window = p.open_receives(row_bytes);
        if (row_bytes == 0) return;
        for (std::size_t i = 0; i < p.sends.size(); ++i) {
            const segment& s = p.nth_send(i);
            sends.push_back({s.peer, packed + static_cast<std::size_t>(s.first) * row_bytes,
                             static_cast<std::size_t>(s.rows) * row_bytes});
        }
        for (std::size_t i = 0; i < p.receives.size(); ++i) {
            const segment& s = p.nth_receive(i);
            auto& blocks = window > 0 && s.tier == link_tier::inter_node ? paced : receives;
            blocks.push_back({s.peer, staging + static_cast<std::size_t>(s.first) * row_bytes,
                              static_cast<std::size_t>(s.rows) * row_bytes});
        }
    }
};

}  // namespace locmoe::detail
