#pragma once

#include <string>
#include <vector>

#include "cli/commands.h"

namespace pome::cli {

/// What `pome train` was asked for.
struct TrainOptions {
    std::string config, run, resume;
    std::vector<std::string> settings;
    std::string strictness = "strict";
    std::string trace;
    std::int64_t trace_updates = 3;
    EngineOptions engine;
    bool json = false;
    bool temporary = false;  ///< the run directory goes when the run is done
    std::string dump_programs;
};

/// Opens the device that a config names; it writes what it compiles where the options say.
std::unique_ptr<device::Device> open_device(const std::string& device, const std::string& numerics,
                                            const TrainOptions& options, ThreadPool& pool,
                                            bool count_vanished = false);

/// Replaces this process by one that goes on with `run`, with the same options. Returns only by
/// throwing Error{io}.
[[noreturn]] void go_on_in_a_new_process(const TrainOptions& options, const std::string& run);

/// The published two-layer run: `text` is its config, given or the run directory's own. Returns the
/// exit status.
int train_tiny(const TrainOptions& options, const std::string& text);

}  // namespace pome::cli
