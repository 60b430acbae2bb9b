#pragma once

#include <string>
#include <vector>

#include "mil/program.h"
#include "train/config.h"

namespace pome::train {

/// What one update of a run does, counted before anything runs.
struct StepPlan {
    struct Program {
        std::string name;  ///< "attention forward"
        mil::Function function;
        std::int64_t evaluations = 0;  ///< an update
    };
    std::vector<Program> programs;
    std::int64_t compiles_once = 0;    ///< when the run starts
    std::int64_t compiles_update = 0;  ///< for every update: weights are constants
    double compiled_bytes = 0.0;       ///< constants in the programs of an update's compiles
    double host_flops = 0.0;  ///< matrix products: weight gradients and the classifier's three
    double host_bytes = 0.0;  ///< passes over arrays: conversion, norms, loss, AdamW
    std::int64_t tokens = 0;  ///< an update
};

/// The update of a resolved config (train::resolve()): the same programs that its pipeline
/// compiles for a chip of `max_channels` channels (0: any number), dynamic, static or static with
/// extras. Throws Error{invalid_argument} for a config that cannot run or that leaves pipeline or
/// batch open, Error{unsupported} for the resident pipeline, whose updates are not planned yet.
StepPlan step_plan(const Config& config, std::int64_t max_channels = 0);

}  // namespace pome::train
