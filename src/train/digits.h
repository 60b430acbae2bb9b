#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "device/device.h"
#include "model/classifier.h"
#include "train/config.h"
#include "train/pipeline.h"

namespace pome::train {

/// Learning to read drawn digits (digits_data.h), wholly on the engine: one program computes
/// logits, the gradient of the cross entropy and every weight's gradient, others rewrite weights
/// and moments where they lie. The host sends pictures, learning rate and scale, and reads the
/// probabilities of the right classes and each gradient's size.
struct DigitsConfig {
    std::string model = "mlp";   ///< mlp | conv
    std::int64_t hidden = 128;   ///< units of the mlp's middle layer
    std::int64_t channels = 8;   ///< of the convolution
    std::int64_t pictures = 64;  ///< of one update
    std::int64_t steps = 600;
    std::int64_t train_pictures = 8192, test_pictures = 2048;
    std::uint64_t seed = 1;
    std::int64_t report_every = 100;
    /// Where weights and moments are: compensated | weights | plain (resident_form()) on the
    /// engine; master: fp32 on the host, whose AdamW then makes the updates and sends fp16 weights.
    std::string state = "compensated";
    OptimizerConfig optimizer;
    LossScaleConfig loss_scale;
    std::string device = "emulator:m4";
    std::string numerics = "exact";
    int threads = 1;

    /// Throws Error{invalid_argument} naming the key.
    void check() const;
};

/// Whether a config text describes such a run: it has a section [digits].
bool is_digits_config(std::string_view text);

/// Reads [digits], [optimizer] and [engine]. Throws Error{invalid_argument}.
DigitsConfig parse_digits_config(std::string_view text, std::string_view source,
                                 const std::vector<std::string>& settings);

struct DigitsReport {
    std::int64_t step = 0;
    double loss = 0.0;      ///< mean over the steps since the last report
    double accuracy = 0.0;  ///< share of the test pictures, after the step
    double loss_scale = 1.0;
    std::int64_t skipped = 0;
    Times times;  ///< per step since the last report
    std::int64_t compiles = 0;
};

/// Trains; reports every report_every steps and at the end. Returns the last report.
DigitsReport run_digits(const DigitsConfig& config, device::Device& device, ThreadPool& pool,
                        const std::function<void(const DigitsReport&)>& report);

/// Forward and backward of a classifier with softmax and cross entropy as one function: inputs x,
/// target [1, classes, 1, N] (1 at the right class), factor [1, 1, 1, 1] and the weights; outputs
/// probability [1, 1, 1, N] of the right classes and d_<weight>, which is the gradient of the sum
/// of losses times factor. The gradient of the logits needs no logarithm: factor (softmax -
/// target).
mil::Function classification_step(const model::Classifier& classifier);

}  // namespace pome::train
