#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mil/autodiff/autodiff.h"
#include "model/config.h"
#include "model/stage.h"

namespace pome::train {

struct DataConfig {
    std::string directory;  ///< made by `pome data prepare`: train.bin, val.bin, tokenizer.bin
};

struct OptimizerConfig {
    double learning_rate = 3e-3;  ///< at the end of the warm-up
    double minimum_rate = 0.1;    ///< of learning_rate, at the end of the cosine
    std::int64_t warmup_steps = 20;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;  ///< decoupled; none on norms
    double clip_norm = 1.0;     ///< global L2 norm of the gradient; 0: no clipping

    /// Throws Error{invalid_argument} at `where` naming the key, the value and the rule.
    void check(std::string_view where) const;
};

struct RunConfig {
    std::int64_t steps = 1000;
    std::int64_t sequence = 0;  ///< positions of a training sequence; 0: the model's
    /// Sequences per update, one after another (gradient accumulation); 0: 10 where weights are
    /// compiled into programs, else 1.
    std::int64_t batch = 0;
    std::uint64_t seed = 1;
    double time_limit_minutes = 0.0;  ///< stop (and save) after that long; 0: no limit
    std::int64_t report_every = 10;
    std::int64_t validate_every = 100;
    std::int64_t validation_windows = 16;
    std::int64_t save_every = 200;
    std::int64_t keep_last = 2;      ///< newest checkpoints kept beside the best
    std::int64_t sample_tokens = 0;  ///< length of the sample printed at the end; 0: none
};

/// Dynamic loss scaling: gradients are multiplied by `scale` on their way through the engine.
struct LossScaleConfig {
    double initial = 1024.0;  ///< a power of two
    double maximum = 65536.0;
    std::int64_t patience = 2000;  ///< updates without overflow before the scale doubles

    /// Throws Error{invalid_argument} at `where` naming the key, the value and the rule.
    void check(std::string_view where) const;
};

struct EngineConfig {
    std::string device = "emulator:m4";
    std::string numerics = "exact";  ///< exact | fast (emulator)
    int threads = 0;                 ///< 0: all processors
    /// auto | dynamic | static | static-extras | resident: how weights reach the engine.
    std::string pipeline = "auto";
    /// What an engine with static weights computes of the host's half: final_norm, classifier,
    /// softmax, norm_backward. Absent: all that the chip can with static-extras, else none.
    std::optional<std::vector<std::string>> extras;
    /// Weight gradients are computed while the engine evaluates. Absent: where the device does not
    /// use the host's processors itself.
    std::optional<bool> overlap;
    /// compensated | weights | plain: which parts of a resident state are sums of two fp16 surfaces
    std::string resident_state = "compensated";
    /// Programs that one process compiles before it saves and starts itself anew; 0: no limit.
    std::int64_t compile_limit = 100;
    /// nothing | cheap | everything: which values of its forward program a backward program
    /// computes again instead of having them kept.
    mil::autodiff::Recompute recompute = mil::autodiff::Recompute::cheap;
    LossScaleConfig loss_scale;
    model::Sigmoid sigmoid = model::Sigmoid::native;
    bool scale_query = true;
    bool product_scale = false;              ///< each matrix product carries a power of two
    std::int64_t product_scale_every = 100;  ///< updates between measurements of its operands
};

/// What is watched of a run, and what happens when it goes wrong.
struct HealthConfig {
    std::int64_t range_every = 100;  ///< updates between looks at the stages' values; 0: none
    bool count_vanished = false;     ///< products too small for the accumulator too: slow
    std::int64_t window = 100;       ///< updates whose mean losses are compared; 0: no plateau
    double plateau = 0.002;          ///< a fall of the loss from window to window below it is one
    double spike_factor = 10.0;      ///< of a gradient norm over its mean
    double divergence_factor = 1.5;  ///< of the loss over its best, both means of ten updates
    std::int64_t skips_to_warn = 8;  ///< updates lost to overflow in a row
    std::int64_t skips_to_diverge = 40;
    /// warn | stop | rollback: to the newest sound checkpoint, with a lower learning rate.
    /// Overflows without end stop a run that would only warn.
    std::string on_divergence = "warn";
    double rollback_rate = 0.5;  ///< what each rollback multiplies the learning rate by
    std::int64_t rollbacks = 3;  ///< then the run stops

    /// Throws Error{invalid_argument} at `where` naming the key, the value and the rule.
    void check(std::string_view where) const;
};

/// A whole training run as data.
struct Config {
    model::ModelConfig model;
    /// Key model.weights: a file that load_model() reads to start from; empty: random weights.
    std::string weights;
    DataConfig data;
    OptimizerConfig optimizer;
    RunConfig run;
    EngineConfig engine;
    HealthConfig health;

    /// Throws Error{invalid_argument} naming the key, the value and the rule.
    void check() const;
    /// As TOML, every key written out: what a run directory keeps.
    std::string text() const;
};

std::string_view recompute_name(mil::autodiff::Recompute which);
/// Throws Error{invalid_argument} listing the names.
mil::autodiff::Recompute recompute_from(std::string_view name);

/// Reads TOML. `settings` are "section.key=value" overrides, applied after it. Relative data
/// directories and weights are taken from `base`. Unknown keys, wrong types and values out of range
/// throw Error{invalid_argument} naming the key.
Config parse_config(std::string_view text, std::string_view source,
                    const std::vector<std::string>& settings, const std::filesystem::path& base);

}  // namespace pome::train
