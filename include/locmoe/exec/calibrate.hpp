#pragma once

#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/calibration.hpp"
#include "locmoe/exec/detail/calibrator.hpp"
#include "locmoe/exec/host_kernels.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// Measures a cluster's costs on its ranks, in about `options.seconds`. Collective; every rank gets
/// the same result, to the bit, and it passes check_costs. Times are the backend's own where it has
/// `now()`, else a steady clock's; of each sample the slowest rank counts, of the samples the lower
/// quartile. All nodes work at once, each rank with neighbours in a circle:
///
/// - latency, overhead: messages of one byte, one by one, and 16 against 128 in flight;
/// - bandwidths: the largest message that takes no more than a hundredth of the time (at most
///   `most_bytes`) against a quarter of it, or by itself where it takes 300 times a small one's
///   time. One rank of each node sends for the rank's on the network, two ranks exchange for a
///   message's inside; for the card's, and a rank's inside, all ranks of a node send, inside four
///   messages each;
/// - fan-in: the card's bytes from 2, 8, 32 and all other nodes (at most 64) at once, against those
///   of one node; a loss of less than a tenth counts as none;
/// - packing: `kernels.gather` of random rows of 4 KiB, on all ranks at once.
///
/// A limit shows only where something reaches it. A message's bandwidth inside is at most the
/// rank's, a rank's on the network at most the card's; a rank's inside comes out at most four times
/// a message's, and the card's at most q times a rank's, q being the ranks of the second largest
/// node; nodes of fewer ranks take no part in it. A fan-in loss does not show where the overheads
/// of so many messages take longer than their bytes. What leaf switches cost is in what is between
/// nodes.
/// Throws argument_error where options or topology do not fit, or differ among the ranks.
template <exchange_backend Backend, row_kernels Kernels = host_kernels>
calibration calibrate(Backend& backend, const topology& nodes, calibrate_options options = {},
                      const Kernels& kernels = {}) {
    return detail::calibrator(backend, nodes, kernels, options).run();
}

}  // namespace locmoe
