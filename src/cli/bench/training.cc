#include "cli/bench/training.h"

#include <algorithm>

#include "train/extra_programs.h"

namespace pome::cli::bench {

void StepOptions::add_to(CLI::App& command) {
    command.add_option("--model", preset, "stories260K, stories15M, stories42M or stories110M")
        ->capture_default_str();
    command.add_option("--sequence", sequence, "tokens")
        ->capture_default_str()
        ->check(CLI::Range(2, 65536));
}

model::ModelConfig StepOptions::config() const {
    auto config = model::preset(preset);
    config.sequence = std::max(config.sequence, sequence);
    return config;
}

train::StepPlan planned_step(const StepOptions& step, const std::string& pipeline,
                             std::int64_t max_channels) {
    train::Config config;
    config.model = step.config();
    config.data.directory = "none";  // nothing is read: the step is counted
    config.run.sequence = step.sequence;
    config.run.batch = 1;
    config.engine.pipeline = pipeline;
    if (pipeline == "static-extras") {
        config.engine.extras = train::extras_for(config.model, max_channels);
    }
    return train::step_plan(config, max_channels);
}

Modelled model(const train::StepPlan& plan, const device::Profile& profile) {
    Modelled sum;
    for (const auto& program : plan.programs) {
        const auto cost = device::emulator::program_cost(program.function);
        const auto one = device::emulator::predict(cost, profile);
        const auto count = static_cast<double>(program.evaluations);
        for (std::int64_t i = 0; i < program.evaluations; ++i) {
            sum.engine += one.time;
        }
        sum.flops += cost.flops() * count;
        sum.weight_bytes += cost.weight_bytes() * count;
        sum.surface_bytes += (cost.input_bytes + cost.output_bytes) * count;
        sum.joules += one.joules * count;
    }
    sum.host_ms = device::emulator::predict_host({plan.host_flops, plan.host_bytes}, profile);
    return sum;
}

}  // namespace pome::cli::bench
