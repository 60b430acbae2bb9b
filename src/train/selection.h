#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/thread_pool.h"
#include "train/config.h"
#include "train/pipeline.h"

namespace pome::train {

/// A pipeline's name and why it was chosen.
struct Choice {
    std::string pipeline;  ///< "dynamic", "static", "static-extras" or "resident"
    std::string reason;    ///< for people
};

/// The pipeline for a device: `wanted` itself, or for "auto" by what its profile says of programs
/// whose weights are inputs and, where that allows them, by a probe: one small product with weights
/// as input, compiled and compared with its known result. Throws Error{unsupported} for a wanted
/// one that the chip cannot run, naming what to use instead; nothing is compiled then.
Choice choose_pipeline(const std::string& wanted, device::Device& device);

/// Replaces what a config leaves open ("auto" pipeline, batch 0, extras, overlap) by what this
/// device gets. Returns the choice. Throws Error{unsupported} for extras that cannot be.
Choice resolve(Config& config, device::Device& device);

/// The pipeline that a resolved config names, for training. Programs that do not compile are kept
/// in `failed_programs`.
std::unique_ptr<Pipeline> make_pipeline(const Config& config,
                                        const model::Architecture& architecture,
                                        device::Device& device, ThreadPool& pool,
                                        const std::filesystem::path& failed_programs);

}  // namespace pome::train
