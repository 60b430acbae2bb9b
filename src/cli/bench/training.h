#pragma once

#include "cli/bench/workload.h"
#include "model/config.h"
#include "train/step_plan.h"

namespace pome::cli::bench {

/// Which model's step, over how many tokens.
struct StepOptions {
    std::string preset = "stories110M";
    std::int64_t sequence = 256;
    void add_to(CLI::App& command);
    /// The preset, its longest sequence being at least `sequence`.
    model::ModelConfig config() const;
};

/// The update of one sequence of a model by a pipeline of Pome, counted for a chip of so many
/// channels (0: any number); extras are all that it can.
train::StepPlan planned_step(const StepOptions& step, const std::string& pipeline,
                             std::int64_t max_channels = 0);
Modelled model(const train::StepPlan& plan, const device::Profile& profile);

}  // namespace pome::cli::bench
