#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/report.h"
#include "cli/commands.h"
#include "device/emulator/calibration.h"

namespace pome::cli::bench {

/// One row of a benchmark: a recipe of device/emulator/published_programs.h.
struct Workload {
    std::string name;  ///< "128 x 512, 64 positions"
    std::string recipe;
    std::vector<std::int64_t> sizes;
    std::vector<std::string> options;
};

/// `depth` 1x1 convolutions of `channels` on maps of height x width. Layers share one layer's
/// weights where `shared`, as maderix/ANE's benchmarks of peak rates do.
Workload chain(std::int64_t depth, std::int64_t channels, std::int64_t height, std::int64_t width,
               std::vector<std::string> options = {"shared"});

/// What the time model says of a workload on a chip.
struct Modelled {
    double flops = 0.0, weight_bytes = 0.0, surface_bytes = 0.0;
    device::emulator::Milliseconds engine;
    double host_ms = 0.0;
    double joules = 0.0;  ///< of the engine
    double ms() const { return engine.total() + host_ms; }
    double tflops() const { return flops / ms() / 1e9; }
};
Modelled model(const Workload& workload, const device::Profile& profile);

/// Published times of just this work on just this chip, route and alternative.
std::vector<const device::emulator::Measurement*> published(const Workload& workload,
                                                            const device::Profile& profile);

/// The rate that no program of 1x1 convolutions exceeds, 10^12 a second: fp16 or W8A8.
double peak_tflops(const device::Profile& profile, bool int8 = false);

/// Options of the benchmarks whose figures are the time model's.
struct ModelOptions {
    std::string device = "emulator:m4", json;
    bool emulate = false;
    int threads = 0;
    /// With `runs`, also --emulate and --threads.
    void add_to(CLI::App& command, bool runs = false);
    /// Throws Error{unsupported} for a device that has no time model.
    const device::Profile& profile() const;
    /// A report that says whose model this is.
    Report report(const std::string& task) const;
};

/// "model of emulator:m4max (H16G, route in-memory), not measured".
std::string origin(const device::Profile& profile);

/// The table of peak, dispatch and sram: each workload by the model, beside every published figure,
/// and with --emulate beside the milliseconds that the emulation takes on this machine.
void table_of_workloads(Report& report, const std::vector<Workload>& workloads,
                        const ModelOptions& options);

/// Milliseconds, the median of several, of one evaluation of a single-program workload on a device
/// of this machine, after its result was seen to be finite and not all zero. An emulator's figure
/// is the wall time of the emulation, an engine's would be a measurement. Throws Error{unsupported}
/// for workloads of several programs, Error{evaluation_failed} for a result that cannot be right.
double evaluation_ms(const Workload& workload, device::Device& device);

}  // namespace pome::cli::bench
