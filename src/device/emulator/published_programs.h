#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "device/emulator/time_model.h"
#include "mil/program.h"

namespace pome::device::emulator {

/// A program and how often a unit of work (a call, a training step) evaluates it.
struct Evaluations {
    std::string name;
    mil::Function function;
    std::int64_t count = 1;
};

/// The work that a published measurement timed.
struct PublishedWork {
    std::vector<Evaluations> programs;
    HostWork host;  ///< of training steps
};

/// The work that one row of measurements.toml names, built from its recipe:
///
///   conv       [batch, in, out, height, width, kernel, depth]; options relu, int8 (weights and
///              activations), shared (all layers have one layer's weights), stride2
///   matmul     [rows, inner, outputs], constant right side; options int8 (kept so), live (an
///   input) unary      [rows, columns]; the option is the op: relu, gelu, sigmoid, softmax,
///   l2_norm,
///              rms_norm, layer_norm (over the columns, as ANEForge lowers them)
///   pool       [channels, height, width]; options max, avg
///   group_norm [channels, height and width, groups]
///   attention  [positions, width, heads]: projections with biases around softmax
///   add        [channels, positions] of two fp32 inputs
///   jacobi     [n, iterations]: x = d (b - R x)
///   static     a training step of the pipeline with baked weights; sizes [width, hidden, heads,
///              kv_heads, head size, positions, layers, vocabulary that the classifier sees];
///              option extras (classifier, softmax and norms on the engine)
///   dynamic    the same with packed weights; options inputs (not packed), forward, backward (the
///              engine's half only)
///   forward    the forward programs of static; sizes as there
///   resident   [batch, inputs, hidden, outputs]: a whole step of an MLP with Adam on the engine
///   tiny       [width, hidden, positions]: the two-layer training step of examples/tiny.toml
///
/// Throws Error{malformed_file} for an unknown recipe or option, or a wrong number of sizes.
PublishedWork published_work(std::string_view recipe, const std::vector<std::int64_t>& sizes,
                             const std::vector<std::string>& options);

/// Model sizes of the published training pipelines.
struct PipelineSizes {
    std::int64_t width, hidden, heads, kv_heads, head_size, positions, layers, vocabulary;
    std::int64_t query_width() const { return heads * head_size; }
    std::int64_t kv_width() const { return kv_heads * head_size; }
    /// Weights of one layer's products.
    double layer_weights() const;
};

// Training steps as their programs define them (maderix/ANE); published_pipelines.cc.
PublishedWork static_step(const PipelineSizes& sizes, bool extras);
PublishedWork dynamic_step(const PipelineSizes& sizes, bool packed);
std::vector<Evaluations> static_forward(const PipelineSizes& sizes);

}  // namespace pome::device::emulator
