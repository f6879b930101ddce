#pragma once

// The groups of rows, in the order that they run in.

namespace bench {

void add_limits();
void add_moved_rows();
void add_gates();
void add_choices();

}  // namespace bench
