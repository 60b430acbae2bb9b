#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/thread_pool.h"
#include "device/device.h"
#include "device/emulator/emulator.h"

namespace pome::cli {

// Exit statuses, the same for every command: 0 done, 1 the input or the work is at fault, 2 wrong
// usage, 3 stopped on request after saving (train).
constexpr int exit_done = 0, exit_failed = 1, exit_usage = 2, exit_interrupted = 3;

// One command a file; each adds itself to the program.
void add_train(CLI::App& app, int& status);
void add_generate(CLI::App& app);
void add_eval(CLI::App& app);
void add_devices(CLI::App& app);
void add_ops(CLI::App& app);
void add_run(CLI::App& app);
void add_legalize(CLI::App& app, int& status);
void add_inspect(CLI::App& app);
void add_convert(CLI::App& app);
void add_data(CLI::App& app);
void add_lint(CLI::App& app, int& status);
void add_bench(CLI::App& app);
void add_conformance(CLI::App& app, int& status);
void add_plan(CLI::App& app);
void add_engine_trial(CLI::App& app);

/// How the device "apple" deals with the system; nothing for the others.
struct EngineOptions {
    std::string trial = "first";
    double call_seconds = 60;
    bool require_device = false;
    void add_to(CLI::App& command);
    /// The options as words of a command line, for a process that goes on with the same.
    std::vector<std::string> words() const;
};
void add_probe(CLI::App& app);
void add_doctor(CLI::App& app);

/// Options that several commands share.
struct DeviceOptions {
    std::string device = "emulator:m4";
    std::string numerics = "exact";
    std::string strictness = "strict";
    std::string facts;  ///< a file of `pome probe`, over the profile's values
    int threads = 0;
    device::emulator::Counting counting = device::emulator::Counting::products;
    EngineOptions engine;
    void add_to(CLI::App& command);
};

/// Opens "reference", "emulator:CHIP", "apple[:ROUTE,...]" or "auto", which is the engine where it
/// passes its checks and otherwise, said on standard error, an emulated one; `numerics` is "exact"
/// or "fast", `strictness` "strict" or "as-hardware". Throws Error{invalid_argument} listing what
/// there is.
std::unique_ptr<device::Device> open_device(const DeviceOptions& options, ThreadPool& pool);

/// Says on standard error what the engine did for the device, when it is one: how many evaluations
/// were counted there, or that nothing ran on an engine.
void report_engine(const device::Device& device);

/// The profile of "emulator:CHIP[/ROUTE][+ALTERNATIVE]", or of this machine for "apple[:ROUTE]".
const device::Profile& find_device_profile(const std::string& name);

}  // namespace pome::cli
