#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "formats/tiny_checkpoint.h"

namespace pome::train {

/// The two-layer regression that was published with the losses of a real M4 Max: y = W2 relu(W1 x)
/// learns y = x by plain SGD, with four baked 1x1 convolutions that are compiled anew while the old
/// ones go on for one more batch, and with a new process from the checkpoint when one has used up
/// its compiles. Every arithmetic step of the host is the one that the original's compiler made,
/// fused multiply-adds included.
struct TinyConfig {
    std::int64_t width = 64;  ///< of x and y
    std::int64_t hidden = 128;
    std::int64_t positions = 16;  ///< columns of x
    std::int64_t steps = 2000;
    std::int64_t accumulation = 10;     ///< steps of a batch
    std::int64_t compile_budget = 100;  ///< compiles of a process before it hands over to a new one
    double learning_rate = 1.0;
    std::string device = "emulator:m4max";
    std::string numerics = "exact";

    /// Throws Error{invalid_argument} naming the key.
    void check() const;
    /// As TOML, every key written out: what a run directory keeps.
    std::string text() const;
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
        restart,     ///< a new process must go on here; loss is the last batch's
        finished,    ///< the end; loss is the last batch's
    };
    Kind kind = Kind::main;
    std::int64_t step = 0;  ///< steps done before the batch
    float loss = 0.0F;
    std::int64_t compiles = 0;  ///< of this process
    bool printed = false;       ///< whether the original prints a line for it
};

/// The run before its first step.
formats::TinyCheckpoint begin_tiny(const TinyConfig& config);

/// What one process does of the run: compiles kernels from the checkpoint's weights, then goes on
/// until the end or until the next kernels do not fit into compile_budget; reports every batch and
/// its own end. Moves `checkpoint` on to there. Returns whether the run is finished; if not, a new
/// process must go on from that checkpoint. Stops early when the loss falls below 1e-6, as the
/// original does. Throws Error{checkpoint_mismatch} when the checkpoint is of other sizes,
/// Error{compile_failed} when the device's own budget is smaller.
bool run_tiny(const TinyConfig& config, formats::TinyCheckpoint& checkpoint, device::Device& device,
              const std::function<void(const TinyReport&)>& report);

}  // namespace pome::train
