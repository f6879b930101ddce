// The example trainer's model written in LibTorch, with locmoe's MoE layer in it (moe_layer.hpp):
// the same text, first numbers and batches, so that locmoe_train with the same options ends on the
// same loss.

#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>

#include <CLI/CLI.hpp>

#include "locmoe/exec/in_process.hpp"

#include "rank_trainer.hpp"

int main(int argc, char** argv) try {
    trainer::training_options options;
    options.steps = 150;
    std::string router = "switch";
    CLI::App app("Trains a small Mixture-of-Experts language model in LibTorch, on 4 ranks.");
    app.add_option("--router", router, "switch or locmoe")
        ->check(CLI::IsMember({"switch", "locmoe"}))
        ->capture_default_str();
    app.add_option("--steps", options.steps, "training steps")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 30))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    options.router =
        router == "locmoe" ? trainer::router_kind::locmoe : trainer::router_kind::switch_;

    torch::set_num_threads(1);  // a rank is a thread already
    const auto domains = trainer::read_domains(LOCMOE_TRAINER_DATA);
    locmoe::run_in_process(4, [&](locmoe::in_process_backend& backend) {
        torch_trainer::rank_trainer one(backend, locmoe::topology::uniform(2, 2), options, domains);
        for (std::size_t s = 1; s <= options.steps; ++s) {
            const double bits = one.step();
            if (backend.rank() == 0 && (s == 1 || s % 10 == 0))
                std::printf("step %5zu  %.4f bits per byte\n", s, bits);
        }
        const double held_out = one.evaluate();
        if (backend.rank() == 0) std::printf("held out    %.4f bits per byte\n", held_out);
    });
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "locmoe_torch_train: %s\n", e.what());
    return 1;
}
