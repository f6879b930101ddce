#include "model.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "locmoe/exec/in_process.hpp"

#include "adam.hpp"
#include "catch.hpp"
#include "dense_moe.hpp"
#include "gradients.hpp"
#include "training.hpp"

namespace {

using namespace trainer;
using namespace trainer_tests;

const model_shape small = {
    .width = 12, .inner = 10, .heads = 2, .layers = 3, .context = 6, .reach = 2, .experts = 5};

const std::vector<domain>& two_domains() {
    static const std::vector<domain> domains = [] {
        std::vector<domain> made;
        for (const std::uint64_t kind : {0u, 1u, 2u}) {
            domain d{"domain" + std::to_string(kind), {std::vector<std::uint8_t>(400)}};
            generator draw(kind);
            for (auto& byte : d.files[0])
                byte = static_cast<std::uint8_t>(40 * kind + draw.below(5) * draw.below(5));
            made.push_back(d);
        }
        return made;
    }();
    return domains;
}

std::vector<std::int64_t> byte_counts() {
    std::vector<std::int64_t> counts(256, 0);
    for (const domain& d : two_domains())
        for (const text& t : d.training())
            for (const auto byte : t) ++counts[byte];
    return counts;
}

training_options options_for(router_kind router, any_capacity capacity) {
    training_options o;
    o.shape = small;
    o.router = router;
    o.steps = 6;
    o.sequences = 3;
    o.peak_rate = 0.01;
    o.alpha = 0.1;
    o.mu = 0.3;
    o.seed = 4;
    o.capacity = capacity;
    return o;
}

/// A whole training run: losses, and in the end each parameter by name.
struct outcome {
    std::vector<double> losses;
    std::map<std::string, std::vector<double>> parameters;
    std::int64_t dropped = 0;

    template <class Scalar>
    void keep(const std::vector<parameter<Scalar>*>& from) {
        for (const auto* p : from) parameters[p->name].assign(p->value.begin(), p->value.end());
    }
};

template <class Scalar>
outcome train_expert_parallel(const training_options& options, const locmoe::topology& nodes) {
    outcome result;
    std::mutex one_at_a_time;
    const auto counts = byte_counts();
    locmoe::run_in_process(nodes.rank_count(), [&](locmoe::in_process_backend& backend) {
        rank_trainer<Scalar, locmoe::in_process_backend> rank(backend, nodes, options,
                                                              two_domains(), counts);
        std::vector<double> losses;
        for (std::size_t s = 0; s < options.steps; ++s) losses.push_back(rank.step());
        const std::lock_guard held(one_at_a_time);
        const auto parameters = rank.model().parameters();
        result.keep(parameters.expert);
        result.dropped += rank.statistics().dropped;
        if (backend.rank() == 0) {
            result.keep(parameters.shared);
            result.losses = losses;
        }
    });
    return result;
}

template <class Scalar>
outcome train_densely(const training_options& options, const locmoe::topology& nodes) {
    outcome result;
    const auto counts = byte_counts();
    const auto placement =
        locmoe::expert_placement::blocked(options.shape.experts, nodes.rank_count());
    typename dense_moe<Scalar>::environment where{
        {options.router, options.shape.experts, counts, two_domains().size(), options.alpha,
         options.mu, options.epsilon, options.seed, 2, options.adaptive_mu},
        nodes,
        placement,
        options.capacity};
    language_model<Scalar, dense_moe<Scalar>> model(options.shape, options.seed, where);
    const auto parameters = model.parameters();
    adam<Scalar> optimizer(parameters.all());
    const auto shared = shards::by_domain(two_domains().size(), nodes);
    for (std::size_t s = 0; s < options.steps; ++s) {
        batch all, own;
        for (std::size_t r = 0; r < nodes.rank_count(); ++r) {
            training_sampler(training_texts(two_domains(), shared, static_cast<locmoe::rank_id>(r)),
                             options.shape.context)
                .draw(seed_for(options.seed, s, r), options.sequences, own);
            all.ids.insert(all.ids.end(), own.ids.begin(), own.ids.end());
            all.targets.insert(all.targets.end(), own.targets.begin(), own.targets.end());
            all.domains.insert(all.domains.end(), own.domains.begin(), own.domains.end());
        }
        const auto rows = static_cast<double>(all.ids.size());
        clear_gradients(parameters);
        where.step = s;
        const double nats = model.forward(all, static_cast<Scalar>(1 / rows));
        model.backward(all);
        optimizer.step(learning_rate(s, options.steps, options.steps / 20 + 1, options.peak_rate));
        result.losses.push_back(nats / rows / std::numbers::ln2);
    }
    result.dropped = static_cast<std::int64_t>(where.dropped);
    result.keep(parameters.all());
    return result;
}

void check_same(const outcome& a, const outcome& b, double tolerance) {
    REQUIRE(a.losses.size() == b.losses.size());
    for (std::size_t i = 0; i < a.losses.size(); ++i) {
        INFO("step " << i);
        CHECK(a.losses[i] == Approx(b.losses[i]).epsilon(tolerance));
    }
    CHECK(a.dropped == b.dropped);
    REQUIRE(a.parameters.size() == b.parameters.size());
    for (const auto& [name, values] : a.parameters) {
        INFO(name);
        const auto other = b.parameters.find(name);
        REQUIRE(other != b.parameters.end());
        REQUIRE(values.size() == other->second.size());
        double worst = 0;
        for (std::size_t i = 0; i < values.size(); ++i)
            worst = std::max(worst, std::abs(values[i] - other->second[i]));
        CHECK(worst <= tolerance);
    }
}

constexpr router_kind main_routers[] = {router_kind::hash, router_kind::switch_,
                                        router_kind::locmoe};

std::vector<router_kind> all_routers() {
    std::vector<router_kind> kinds;
    for (std::size_t i = 0; i < router_names.size(); ++i)
        kinds.push_back(static_cast<router_kind>(i));
    return kinds;
}

bool is_main(router_kind router) {
    return router <= router_kind::locmoe;
}

bool has_loss(router_kind router) {
    switch (router) {
        case router_kind::hash:
        case router_kind::rre:
        case router_kind::bias_balanced:
        case router_kind::expert_choice:
        case router_kind::base:
        case router_kind::sinkhorn:
        case router_kind::dense: return false;
        default: return true;
    }
}

any_capacity of_factor(double f) {
    return {locmoe::fixed_capacity(f)};
}
any_capacity dropless() {
    return {locmoe::unlimited_capacity()};
}

}  // namespace

TEST_CASE(
    "The whole model's gradients, with the routers' losses and drops, are its finite differences") {
    const auto nodes = locmoe::topology::uniform(2, 1);
    const auto placement = locmoe::expert_placement::blocked(small.experts, nodes.rank_count());
    const auto counts = byte_counts();
    for (const router_kind router : all_routers())
        for (const bool drops : {false, true}) {
            INFO(router_name(router) << (drops ? ", fixed capacity" : ", dropless"));
            dense_moe<double>::environment where{
                {router, small.experts, counts, two_domains().size(), 0.1, 0.3, 0.05},
                nodes,
                placement,
                drops ? of_factor(1.0) : dropless(),
                false};
            language_model<double, dense_moe<double>> model(small, 3, where);
            batch rows;
            training_sampler(training_texts(two_domains(), shards::shuffled(3, nodes), 0),
                             small.context)
                .draw(2, 4, rows);
            const double scale = 1.0 / static_cast<double>(rows.ids.size());
            const auto loss = [&] {
                const double nats = model.forward(rows, scale);
                return nats * scale + model.own_loss();
            };
            loss();
            if (is_main(router) || !drops) CHECK((where.dropped > 0) == drops);
            CHECK((model.own_loss() > 0) == has_loss(router));
            model.backward(rows);
            check_parameters(model.parameters().all(), loss);
        }
}

TEST_CASE("Expert-parallel training is the single-rank dense computation of the same model") {
    for (const auto& nodes : {locmoe::topology::uniform(1, 1), locmoe::topology::uniform(2, 2),
                              locmoe::topology::from_node_of_rank({1, 0, 1})})
        for (const router_kind router : all_routers())
            for (const bool drops : {false, true})
                for (const auto strategy :
                     {row_strategy::direct, row_strategy::node_aggregated, row_strategy::best}) {
                    const bool aggregated = strategy == row_strategy::node_aggregated;
                    if (!is_main(router) && (drops != aggregated || strategy == row_strategy::best))
                        continue;
                    INFO(router_name(router) << " on " << nodes.rank_count() << " ranks"
                                             << (drops ? ", fixed capacity" : ", dropless")
                                             << ", strategy " << static_cast<int>(strategy));
                    auto options = options_for(router, drops ? of_factor(0.9) : dropless());
                    options.strategy = strategy;
                    const auto dense = train_densely<double>(options, nodes);
                    if (is_main(router) || !drops) CHECK((dense.dropped > 0) == drops);
                    check_same(train_expert_parallel<double>(options, nodes), dense, 1e-9);
                }
}

TEST_CASE("An adaptive mu changes what nodes without experts learn, by the dense computation too") {
    const auto nodes = locmoe::topology::uniform(small.experts + 1, 1);
    for (const bool drops : {false, true}) {
        auto options = options_for(router_kind::locmoe, drops ? of_factor(0.9) : dropless());
        const auto fixed = train_densely<double>(options, nodes);
        options.adaptive_mu = true;
        const auto dense = train_densely<double>(options, nodes);
        check_same(train_expert_parallel<double>(options, nodes), dense, 1e-9);
        CHECK(dense.losses.back() != fixed.losses.back());
    }
    auto options = options_for(router_kind::switch_, dropless());
    const auto without = train_densely<double>(options, nodes);
    options.adaptive_mu = true;
    check_same(train_densely<double>(options, nodes), without, 0);  // has no locality loss
}

TEST_CASE("All ranks come to one capacity under every schedule, that of the dense computation") {
    const auto nodes = locmoe::topology::uniform(2, 2);
    for (const router_kind router : main_routers)
        for (const char* spec : {"locmoe", "adaptive", "drop-rate:0.05"}) {
            INFO(router_name(router) << ", " << spec);
            auto options = options_for(router, parse_capacity(spec, small.width));
            options.steps = 24;  // two falls of the adaptive one
            const auto dense = train_densely<double>(options, nodes);
            check_same(train_expert_parallel<double>(options, nodes), dense, 1e-9);
            options.capacity = of_factor(1.25);
            if (router != router_kind::hash)
                CHECK(train_densely<double>(options, nodes).dropped != dense.dropped);
        }
}

TEST_CASE("Predicting held-out text moves no schedule and no bias") {
    const auto nodes = locmoe::topology::uniform(2, 1);
    const auto counts = byte_counts();
    for (const router_kind router : {router_kind::locmoe, router_kind::bias_balanced}) {
        const auto options = options_for(router, parse_capacity("drop-rate:0", small.width));
        locmoe::run_in_process(nodes.rank_count(), [&](locmoe::in_process_backend& backend) {
            rank_trainer<double, locmoe::in_process_backend> looks(backend, nodes, options,
                                                                   two_domains(), counts);
            rank_trainer<double, locmoe::in_process_backend> goes(backend, nodes, options,
                                                                  two_domains(), counts);
            bool same = true;
            for (int s = 0; s < 3; ++s) {
                looks.evaluate();
                same = same && looks.step() == goes.step();
            }
            const bool first = backend.rank() == 0;
            if (first) CHECK(same);
        });
    }
}

TEST_CASE("In float the two agree within rounding") {
    const auto nodes = locmoe::topology::uniform(2, 2);
    for (const router_kind router : main_routers) {
        INFO(router_name(router));
        const auto options = options_for(router, of_factor(1.25));
        check_same(train_expert_parallel<float>(options, nodes),
                   train_densely<float>(options, nodes), 2e-4);
    }
}

TEST_CASE("The same seed gives the same bits, and another seed does not") {
    const auto nodes = locmoe::topology::uniform(2, 2);
    auto options = options_for(router_kind::locmoe, of_factor(1.25));
    const auto first = train_expert_parallel<float>(options, nodes);
    const auto second = train_expert_parallel<float>(options, nodes);
    CHECK(first.losses == second.losses);
    CHECK(first.parameters == second.parameters);
    options.seed = 5;
    CHECK(train_expert_parallel<float>(options, nodes).losses != first.losses);
}

TEST_CASE("Held-out text costs the same whichever ranks predict it, where nothing is dropped") {
    auto options = options_for(router_kind::locmoe, dropless());
    const auto counts = byte_counts();
    std::vector<double> bits;
    for (const auto& nodes : {locmoe::topology::uniform(1, 1), locmoe::topology::uniform(2, 2),
                              locmoe::topology::uniform(3, 1)})
        for (const bool shuffled : {false, true}) {
            options.shuffled = shuffled;
            locmoe::run_in_process(nodes.rank_count(), [&](locmoe::in_process_backend& backend) {
                rank_trainer<double, locmoe::in_process_backend> rank(backend, nodes, options,
                                                                      two_domains(), counts);
                const double result = rank.evaluate();
                if (backend.rank() == 0) bits.push_back(result);
            });
        }
    for (const double b : bits) CHECK(b == Approx(bits[0]).epsilon(1e-12));
    CHECK(bits[0] > 5);
    CHECK(bits[0] < 11);
}
