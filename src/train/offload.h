#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pome::train {

/// Parts of the host's half of a language model that an engine may take over.
enum class Extra : std::uint8_t { final_norm, classifier, softmax, norm_backward };

/// All of them, in the order of their use.
const std::vector<Extra>& all_extras();
std::string_view extra_name(Extra extra);
/// Throws Error{invalid_argument} listing the names.
Extra extra_from(std::string_view name);

/// What a pipeline computes on the engine of the host's half of a language model; an empty function
/// leaves that part to the host. Arrays are the host's fp32: activations [C][S], logits and
/// probabilities [S][V].
struct Offload {
    /// y = RMSNorm of the stream x after the last block.
    std::function<void(const float* x, float* y)> final_norm;
    /// Logits of the normalised x.
    std::function<void(const float* x, float* logits)> classifier;
    /// Logits become probabilities.
    std::function<void(float* values)> softmax;
    /// Both, without leaving the engine between them; set exactly when both are.
    std::function<void(const float* x, float* probabilities)> classifier_softmax;
    /// Adds to dx the gradient through norm `norm`, which normalised x, from dy. Norms are numbered
    /// as the blocks that they stand before; the final one comes last. Its gain's gradient is the
    /// host's.
    std::function<void(std::size_t norm, const float* x, const float* dy, float* dx)> norm_backward;
};

/// What an extra spared and cost in the evaluations of this process.
struct ExtraCost {
    std::int64_t runs = 0;
    double device_ms = 0.0, io_ms = 0.0;  ///< of all runs
    std::int64_t host_runs = 0;           ///< runs that the host did too, for its time
    double host_ms = 0.0;                 ///< of those
};
using ExtraCosts = std::map<Extra, ExtraCost>;

/// Per sequence, from the means of a process.
struct ExtraReport {
    std::string name;
    std::int64_t runs = 0;  ///< a sequence
    double host_ms = 0.0;   ///< what the host no longer computes
    double device_ms = 0.0, io_ms = 0.0;
};

}  // namespace pome::train
