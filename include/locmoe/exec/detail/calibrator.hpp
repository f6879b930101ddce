#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/token_rows.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/calibration.hpp"
#include "locmoe/exec/detail/agreed.hpp"
#include "locmoe/exec/detail/fan_in_fit.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/exec/verify_agreement.hpp"
#include "locmoe/plan/flow.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0::detail {

/// A backend with a clock of its own, in seconds, as the simulated one has.
template <class Backend>
concept has_clock = requires(const Backend& backend) {
    { backend.now() } -> std::convertible_to<double>;
};

/// One rank's part of a calibration. Every rank goes through the same measurements and starts as
/// many transfers, empty ones where it has no part; how often and how large follows from times that
/// all ranks have summed, so that all decide alike.
template <exchange_backend Backend, row_kernels Kernels>
class calibrator {
  public:
    calibrator(Backend& backend, const topology& nodes, const Kernels& kernels,
               const calibrate_options& options)
        : backend_(backend), nodes_(nodes), kernels_(kernels), options_(options) {
        check();
        began_ = now();
    }

    calibration run() {
        std::size_t largest = 0;
        std::size_t rails = 0;  // the second largest node's ranks: those with a peer of their index
        for (std::size_t n = 0; n < nodes_.node_count(); ++n) {
            const std::size_t size = nodes_.ranks_of(static_cast<node_id>(n)).size();
            if (size > largest)
                rails = std::exchange(largest, size);
            else if (size > rails)
                rails = size;
        }
        calibration found;
        found.intra_node = largest > 1;
        found.inter_node = rails > 0;
        const std::vector<std::size_t> fan_ins = fan_ins_of(rails);
        found.fan_in = !fan_ins.empty();
        measurements_ =
            7u * (found.intra_node + found.inter_node) + 2u * fan_ins.size() + 1u;

        measured_tier inside, between;
        if (found.intra_node) {
            small_messages(ring_inside(largest, 1));
            inside.one_bytes = large_messages(ring_inside(2, 1), 1);
            inside.all_bytes = large_messages(ring_inside(largest, streams), streams);
        }
        if (found.inter_node) {
            small_messages(ring_between(rails));
            between.one_bytes = large_messages(ring_between(1), 1);
            between.all_bytes = large_messages(ring_between(rails), 1);
        }
        for (const std::size_t nodes : fan_ins)
            for (const std::size_t part : {4u, 1u})
                measure([&] {
                    return step_seconds(ring_between(rails, nodes), nodes,
                                        between.all_bytes / part / nodes);
                });
        measure([&] { return gather_seconds(); });

        share_worst();
        if (backend_.rank() == 0) {
            auto time = quartiles_.cbegin();
            if (found.intra_node) {
                inside.take(time);
                found.costs.intra_node = {inside.latency(), inside.overhead(),
                                          inside.one_bandwidth(), streams * inside.all_bandwidth()};
            }
            if (found.inter_node) {
                between.take(time);
                found.costs.inter_node = {between.latency(), between.overhead(),
                                          between.one_bandwidth(),
                                          static_cast<double>(rails) * between.all_bandwidth()};
                std::vector<fan_in_point> points;
                for (const std::size_t nodes : fan_ins) {
                    const double quarter = *time++, whole = *time++;
                    points.push_back({nodes, between.all_bandwidth() /
                                                 between.bandwidth(between.all_bytes, quarter,
                                                                   whole, nodes)});
                }
                fit_fan_in(points, found.costs.inter_node);
            }
            found.costs.pack_bandwidth =
                *time > 0 ? static_cast<double>(gathered_rows() * row_bytes) / *time
                          : std::numeric_limits<double>::infinity();
        }
        broadcast(found.costs);
        return found;
    }

  private:
    static constexpr std::size_t streams = 4;  // messages of a rank that fill its links
    static constexpr std::size_t few = 16;     // messages in flight, for the overhead of each
    static constexpr std::size_t many = 128;
    static constexpr std::size_t most_fan_in = 64;  // nodes
    static constexpr std::size_t least_bytes = 4096;
    static constexpr std::size_t least_repetitions = 5;
    static constexpr std::size_t row_bytes = 4096;

    /// For each message at once, whom it goes to and whom its like comes from. Empty: no part.
    struct neighbours {
        rank_id to = 0;
        rank_id from = 0;
    };

    /// The times of one tier, the worst of all ranks, and what they say. A time of nothing, on a
    /// coarse clock, counts as a nanosecond.
    struct measured_tier {
        std::size_t one_bytes = 0;  // of a large message where only one rank of a node sends
        std::size_t all_bytes = 0;
        double step = 0, few_in_flight = 0, many_in_flight = 0;
        double one_small = 0, one_large = 0, all_small = 0, all_large = 0;

        void take(std::vector<double>::const_iterator& time) {
            for (double* t : {&step, &few_in_flight, &many_in_flight, &one_small, &one_large,
                              &all_small, &all_large})
                *t = *time++;
        }
        double overhead() const {
            const double each = (many_in_flight - few_in_flight) / (many - few);
            return each > 0 ? each : 0;
        }
        double latency() const { return step > overhead() ? step - overhead() : 0; }
        double one_bandwidth() const { return bandwidth(one_bytes, one_small, one_large); }
        double all_bandwidth() const { return bandwidth(all_bytes, all_small, all_large); }

        /// What latency and overhead take is in both times, and is known where it hardly counts:
        /// then one time is less noisy than the difference of two. Where the large message took
        /// hardly longer than its quarter, the difference is noise.
        double bandwidth(std::size_t bytes, double quarter, double whole,
                         std::size_t messages = 1) const {
            const auto b = static_cast<double>(bytes);
            const double fixed = step + static_cast<double>(messages - 1) * overhead();
            if (whole > 300 * fixed) return b / (whole - fixed);
            if (whole > 1.25 * quarter) return 0.75 * b / (whole - quarter);
            return b / (whole > 1e-9 ? whole : 1e-9);
        }
    };

    /// All ranks fail together, the one at fault with its own exception.
    void check() {
        const auto refuse = [&](std::string_view argument, std::string_view expected,
                                std::string_view got) {
            throw_argument("calibrate", argument, expected, got, backend_.rank());
        };
        const common_value same[] = {
            {"topology", fingerprint(nodes_).value()},
            {"time in its options", std::bit_cast<std::uint64_t>(options_.seconds)},
            {"number of repetitions", options_.repetitions, true},
            {"value of most_bytes", options_.most_bytes, true}};
        agreed(backend_, "calibrate", same, [&] {
            if (nodes_.rank_count() != backend_.rank_count())
                refuse("nodes", concat("a topology of ", backend_.rank_count(), " ranks"),
                       concat(nodes_.rank_count()));
            if (!(options_.seconds > 0 && options_.seconds <= 3600))
                refuse("seconds", "above 0, at most 3600", concat(options_.seconds));
            if (options_.repetitions == 0 || options_.repetitions > 1'000'000)
                refuse("repetitions", "1 to 1000000", concat(options_.repetitions));
            if (options_.most_bytes < streams * least_bytes)
                refuse("most_bytes", concat("at least ", streams * least_bytes),
                       concat(options_.most_bytes));
            out_.resize(options_.most_bytes);
            in_.resize(options_.most_bytes);
        });
    }

    double now() const {
        if constexpr (has_clock<Backend>)
            return backend_.now();
        else
            return std::chrono::duration<double>(
                       std::chrono::steady_clock::now().time_since_epoch())
                .count();
    }

    /// The first `width` ranks of each node in a circle; message i goes 1 + i ranks ahead.
    std::vector<neighbours> ring_inside(std::size_t width, std::size_t messages) const {
        const auto ranks = nodes_.ranks_of(nodes_.node_of(backend_.rank()));
        const std::size_t here = nodes_.local_index(backend_.rank());
        const std::size_t size = width < ranks.size() ? width : ranks.size();
        std::vector<neighbours> ring;
        if (size < 2 || here >= size) return ring;
        for (std::size_t i = 0; i < messages; ++i) {
            const std::size_t ahead = 1 + i % (size - 1);
            ring.push_back({ranks[(here + ahead) % size], ranks[(here + size - ahead) % size]});
        }
        return ring;
    }

    /// For each local index below `rails`, the ranks of that index in a circle over the nodes that
    /// have so many ranks: a node hears from as many nodes as there are messages. Message i goes
    /// 1 + i ranks ahead.
    std::vector<neighbours> ring_between(std::size_t rails, std::size_t messages = 1) const {
        const std::size_t index = nodes_.local_index(backend_.rank());
        if (index >= rails || nodes_.ranks_of(nodes_.node_of(backend_.rank())).size() < rails)
            return {};
        std::vector<rank_id> rail;
        std::size_t here = 0;
        for (std::size_t n = 0; n < nodes_.node_count(); ++n) {
            const auto ranks = nodes_.ranks_of(static_cast<node_id>(n));
            if (ranks.size() < rails) continue;
            if (ranks[index] == backend_.rank()) here = rail.size();
            rail.push_back(ranks[index]);
        }
        const std::size_t size = rail.size();
        std::vector<neighbours> ring;
        for (std::size_t ahead = 1; ahead <= messages; ++ahead)
            ring.push_back({rail[(here + ahead) % size], rail[(here + size - ahead) % size]});
        return ring;
    }

    /// How many nodes send to one at once, where losses are looked for: 2, 8 and 32, and last as
    /// many as there are, at most 64; none but 2 is near the last.
    std::vector<std::size_t> fan_ins_of(std::size_t rails) const {
        std::size_t others = 0;
        for (std::size_t n = 0; n < nodes_.node_count(); ++n)
            others += nodes_.ranks_of(static_cast<node_id>(n)).size() >= rails;
        others = others - 1 < most_fan_in ? others - 1 : most_fan_in;
        std::vector<std::size_t> fan_ins;
        if (rails == 0 || others < 2) return fan_ins;
        for (std::size_t nodes = 2; nodes < others; nodes *= 4)
            if (nodes == 2 || 2 * nodes <= others) fan_ins.push_back(nodes);
        fan_ins.push_back(others);
        return fan_ins;
    }

    /// All messages posted at once, and waited for.
    void step(const std::vector<neighbours>& ring, std::size_t messages, std::size_t bytes) {
        std::vector<typename Backend::transfer> under_way;
        under_way.reserve(messages);
        for (std::size_t i = 0; i < messages; ++i) {
            if (ring.empty()) {
                under_way.push_back(backend_.start({}, {}));
                continue;
            }
            const neighbours& n = ring[i % ring.size()];
            const send_block send{n.to, out_.data() + i * bytes, bytes};
            const receive_block receive{n.from, in_.data() + i * bytes, bytes};
            under_way.push_back(backend_.start({&send, 1}, {&receive, 1}));
        }
        for (auto& transfer : under_way) backend_.wait(transfer);
    }

    /// Seconds of a step on this rank, 0 where it has no part. One small step before it lets
    /// neighbours begin together, whenever they left the last meeting.
    double step_seconds(const std::vector<neighbours>& ring, std::size_t messages,
                        std::size_t bytes, std::size_t steps = 1) {
        step(ring, 1, 1);
        const double before = now();
        for (std::size_t i = 0; i < steps; ++i) step(ring, messages, bytes);
        return ring.empty() ? 0 : (now() - before) / static_cast<double>(steps);
    }

    /// alpha and gamma: steps of one message, and 16 against 128 messages in flight.
    void small_messages(const std::vector<neighbours>& ring) {
        measure([&] { return step_seconds(ring, 1, 1, few); });
        measure([&] { return step_seconds(ring, few, 1); });
        measure([&] { return step_seconds(ring, many, 1); });
    }

    /// Bandwidth: messages of so many bytes, returned, against a quarter of it. On a slow link
    /// growing ends where a step takes a hundredth of the whole time.
    std::size_t large_messages(const std::vector<neighbours>& ring, std::size_t messages) {
        std::size_t bytes = least_bytes;
        while (4 * bytes * messages <= options_.most_bytes) {
            meet(step_seconds(ring, messages, bytes));
            if (mean_seconds_ > options_.seconds / 100) break;
            bytes *= 4;
        }
        measure([&] { return step_seconds(ring, messages, bytes / 4); });
        measure([&] { return step_seconds(ring, messages, bytes); });
        return bytes;
    }

    std::size_t gathered_rows() const { return options_.most_bytes / row_bytes; }

    /// B_pack: rows from everywhere in memory, one after the other, by the caller's kernels.
    double gather_seconds() {
        const const_token_rows from{in_.data(), gathered_rows(), row_bytes, row_bytes};
        const token_rows to{out_.data(), gathered_rows(), row_bytes, row_bytes};
        row_sums rows;
        std::uint64_t random = 1;
        for (std::size_t i = 0; i < from.rows; ++i) {
            random = random * 6364136223846793005u + 1442695040888963407u;  // Knuth's, MMIX
            rows.from.push_back(static_cast<row_index>((random >> 33) % from.rows));
        }
        const double before = now();
        kernels_.gather({from, {}}, rows, {0, to.rows}, to);
        return now() - before;
    }

    /// Repeats while this measurement's share of the time lasts: a few times at least, since one
    /// sample says little where ranks share processors.
    template <class Work>
    void measure(Work&& work) {
        ++measurement_;
        const double end = options_.seconds * static_cast<double>(measurement_) /
                           static_cast<double>(measurements_);
        std::vector<double>& samples = samples_.emplace_back();
        do {
            samples.push_back(work());
            meet(samples.back());
        } while (samples.size() < options_.repetitions &&
                 (elapsed_ < end || samples.size() < least_repetitions));
    }

    /// Brings all ranks together and gives all of them the same times: since the beginning, and of
    /// the last sample, the mean of the ranks that had a part.
    void meet(double sample) {
        const std::int64_t mine[] = {static_cast<std::int64_t>((now() - began_) * 1e9),
                                     static_cast<std::int64_t>(sample * 1e9), sample > 0};
        const count_scan all = backend_.scan_counts(mine);
        const auto total = [&](std::size_t i) { return static_cast<double>(all.total[i]); };
        elapsed_ = total(0) * 1e-9 / static_cast<double>(backend_.rank_count());
        mean_seconds_ = all.total[2] > 0 ? total(1) * 1e-9 / total(2) : 0;
    }

    /// On rank 0, each sample becomes the worst of all ranks', and of each measurement the lower
    /// quartile is kept. A rank's own quartile would be of steps in which others, that share its
    /// link, were served after it.
    void share_worst() {
        std::vector<message> mine(1);
        for (const auto& samples : samples_)
            for (const double s : samples) mine[0].words.push_back(std::bit_cast<std::int64_t>(s));
        for (const message& m : backend_.exchange_messages(std::move(mine))) {
            auto word = m.words.begin();
            for (auto& samples : samples_)
                for (double& worst : samples)
                    if (const auto s = std::bit_cast<double>(*word++); s > worst) worst = s;
        }
        for (auto& samples : samples_) {
            const auto quartile =
                samples.begin() + static_cast<std::ptrdiff_t>((samples.size() - 1) / 4);
            std::nth_element(samples.begin(), quartile, samples.end());
            quartiles_.push_back(*quartile);
        }
    }

    /// Rank 0's costs to all: their bits as integers, to which the others add zeros.
    void broadcast(cluster_costs& costs) {
        double* const fields[] = {&costs.intra_node.latency,
                                  &costs.intra_node.overhead,
                                  &costs.intra_node.message_bandwidth,
                                  &costs.intra_node.rank_bandwidth,
                                  &costs.inter_node.latency,
                                  &costs.inter_node.overhead,
                                  &costs.inter_node.rank_bandwidth,
                                  &costs.inter_node.nic_bandwidth,
                                  &costs.inter_node.fan_in_loss,
                                  &costs.inter_node.fan_in_free,
                                  &costs.pack_bandwidth};
        std::vector<std::int64_t> bits;
        for (const double* f : fields)
            bits.push_back(backend_.rank() == 0 ? std::bit_cast<std::int64_t>(*f) : 0);
        const count_scan all = backend_.scan_counts(bits);
        for (std::size_t i = 0; i < bits.size(); ++i)
            *fields[i] = std::bit_cast<double>(all.total[i]);
    }

    Backend& backend_;
    const topology& nodes_;
    const Kernels& kernels_;
    calibrate_options options_;
    std::vector<std::byte> out_, in_;
    double began_ = 0;
    double elapsed_ = 0;       // since then, as all ranks have it
    double mean_seconds_ = 0;  // of the last sample, as all ranks have it
    std::size_t measurement_ = 0;
    std::size_t measurements_ = 0;
    std::vector<std::vector<double>> samples_;  // by measurement; as many on all ranks
    std::vector<double> quartiles_;             // by measurement, once shared; on rank 0
};

}  // namespace locmoe::detail
