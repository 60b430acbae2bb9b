#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"

namespace pome::train {

/// The two-layer regression that was published with the losses of a real M4 Max: y = W2 relu(W1 x)
/// learns y = x by plain SGD, with four baked 1x1 convolutions that are compiled anew while the old
/// ones go on for one more batch, and with restarts from the checkpoint when a process has used up
/// its compiles. This replays it in one process; every arithmetic step of the host is the one that
/// the original's compiler made, fused multiply-adds included.
struct TinyConfig {
    std::int64_t width = 64;  ///< of x and y
    std::int64_t hidden = 128;
    std::int64_t positions = 16;  ///< columns of x
    std::int64_t steps = 2000;
    std::int64_t accumulation = 10;     ///< steps of a batch
    std::int64_t compile_budget = 100;  ///< compiles after which the original starts itself again
    double learning_rate = 1.0;
    std::string device = "emulator:m4max";
    std::string numerics = "exact";

    /// Throws Error{invalid_argument} naming the key.
    void check() const;
};

/// Whether a config text describes such a run: it has a section [tiny].
bool is_tiny_config(std::string_view text);

/// Reads [tiny] and [engine]. Throws Error{invalid_argument}.
TinyConfig parse_tiny_config(std::string_view text, std::string_view source,
                             const std::vector<std::string>& settings);

/// What the original prints.
struct TinyReport {
    enum class Kind : std::uint8_t {
        main,        ///< a batch with fresh kernels
        overlapped,  ///< the batch that runs while the next kernels are compiled
        restart,     ///< the process would start again here; loss is the last batch's
        finished,    ///< the end; loss is the last batch's
    };
    Kind kind = Kind::main;
    std::int64_t step = 0;  ///< steps done before the batch
    float loss = 0.0F;
    std::int64_t compiles = 0;  ///< of this process
    bool printed = false;       ///< whether the original prints a line for it
};

/// Runs it; reports every batch. `open` makes a device as a new process would find it: compiles
/// count from zero again after each restart. Stops early when the loss falls below 1e-6, as the
/// original does.
void run_tiny(const TinyConfig& config,
              const std::function<std::unique_ptr<device::Device>()>& open,
              const std::function<void(const TinyReport&)>& report);

}  // namespace pome::train
