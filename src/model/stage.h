#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mil/builder.h"
#include "mil/weights.h"
#include "model/config.h"

namespace pome::model {

/// How sigmoid is written, for engines whose tables differ in accuracy. All are the same function.
enum class Sigmoid : std::uint8_t {
    native,       ///< sigmoid(x)
    exponential,  ///< 1 / (1 + exp(-x))
    tanh,         ///< 0.5 + 0.5 tanh(x / 2)
};

/// What a stage is written for.
struct Form {
    DType dtype = DType::fp16;
    std::int64_t sequence = 0;  ///< positions S of one evaluation
    Sigmoid sigmoid = Sigmoid::native;
    bool scale_query = true;  ///< 1/sqrt(head size) on the queries; false: on the scores
    /// Hidden units are filled up to a multiple, for the rows of a device's surfaces.
    std::int64_t hidden_multiple = 1;
    /// Query and key heads of cached attention are filled up to a multiple, for engines whose sums
    /// of products want one.
    std::int64_t head_multiple = 1;
    /// Weights [rows, columns] are given as [1, columns, 1, rows]: what one step of a sum needs
    /// lies together, as products with one vector read it best.
    bool transposed_weights = false;
    friend bool operator==(const Form&, const Form&) = default;
};

/// The unit that repeats: a MIL function `main` from x [1, C, 1, S] and weights [1, rows, 1,
/// columns] to y [1, C', 1, S]; for one position x and y are [1, 1, 1, C]. Normalisation before it
/// and the residual sum after it are not part of it.
struct Stage {
    std::string name;
    mil::Function function;
    std::vector<std::string> weights;  ///< names of the inputs that are weights, in order
    mil::WeightFiles files;            ///< constant tables: rotation angles, the causal mask
    /// Values that y does not depend on: differentiation takes them for constants.
    std::set<std::string, std::less<>> stop_gradients;
};

/// Causal multi-head attention with rotary positions (interleaved pairs, as llama2.c has them) and
/// grouped key/value heads. Weights: wq [Q,D], wk [KV,D], wv [KV,D], wo [D,Q].
Stage attention_stage(const ModelConfig& config, const Form& form);

/// SwiGLU: y = w2 (silu(w1 x) * (w3 x)). Weights: w1 [H,D], w2 [D,H], w3 [H,D].
Stage feed_forward_stage(const ModelConfig& config, const Form& form);

/// y = w2 relu(w1 x). Weights: w1 [H,D], w2 [D,H].
Stage mlp_stage(const ModelConfig& config, const Form& form);

// What stands around the blocks, for engines that run it too (outer_stages.cc).

/// RMSNorm: y(c,s) = gain(c) x(c,s) / sqrt(mean_c x(c,s)^2 + epsilon). Weight: gain [1, C, 1, 1].
/// x is first divided by its largest magnitude at that position, so that neither the fp16 sum of
/// squares overflows (unscaled it does at RMS 9.2 for 768 channels) nor the squares of small values
/// vanish; the scale cancels.
Stage norm_stage(const ModelConfig& config, const Form& form);

/// Logits of `rows` tokens: y = head x. Weight: head [rows, D].
Stage classifier_stage(const ModelConfig& config, const Form& form, std::int64_t rows);

/// Softmax over the channels: x, y [1, V, 1, S].
Stage softmax_stage(const ModelConfig& config, const Form& form);

}  // namespace pome::model
