#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "train/config.h"

namespace pome::train {

// A run directory: config.toml (as it was resolved; without it there is no run), environment.json,
// metrics.jsonl, and checkpoints/best and checkpoints/step_NNNNNNNN.

/// The config that a run directory keeps. Throws Error{io} when there is none.
Config run_config(const std::filesystem::path& run);

/// "step_00000480"
std::string checkpoint_name(std::int64_t step);

/// The numbered checkpoints of a run, newest first; empty when there is none, or no run.
std::vector<std::filesystem::path> numbered_checkpoints(const std::filesystem::path& run);

}  // namespace pome::train
