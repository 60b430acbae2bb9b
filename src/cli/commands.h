#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/thread_pool.h"
#include "device/device.h"

namespace pome::cli {

// Exit statuses, the same for every command: 0 done, 1 the input or the work is at fault, 2 wrong
// usage, 3 stopped on request after saving (train).
constexpr int exit_done = 0, exit_failed = 1, exit_usage = 2, exit_interrupted = 3;

// One command a file; each adds itself to the program.
void add_train(CLI::App& app, int& status);
void add_generate(CLI::App& app);
void add_eval(CLI::App& app);
void add_devices(CLI::App& app);
void add_run(CLI::App& app);
void add_inspect(CLI::App& app);
void add_data(CLI::App& app);
void add_bench(CLI::App& app);
void add_conformance(CLI::App& app, int& status);
void add_plan(CLI::App& app);

/// Opens "reference" or "emulator:CHIP"; `numerics` is "exact" or "fast". Throws
/// Error{invalid_argument} listing what there is.
std::unique_ptr<device::Device> open_device(const std::string& name, const std::string& numerics,
                                            ThreadPool& pool);

/// Options that several commands share.
struct DeviceOptions {
    std::string device = "emulator:m4";
    std::string numerics = "exact";
    int threads = 0;
    void add_to(CLI::App& command);
};

}  // namespace pome::cli
