#pragma once

#include "cli/bench/workload.h"
#include "train/step_plan.h"

namespace pome::cli::bench {

/// The update of one sequence of a model by a pipeline of Pome, counted.
train::StepPlan planned_step(const std::string& preset, std::int64_t sequence,
                             const std::string& pipeline);
Modelled model(const train::StepPlan& plan, const device::Profile& profile);

}  // namespace pome::cli::bench
