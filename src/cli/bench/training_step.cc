#include "cli/bench/training_step.h"

#include <algorithm>
#include <cmath>

#include "cli/bench/timing.h"
#include "kernels/adamw.h"
#include "train/trainer.h"

namespace pome::cli::bench {

TrainingStep::TrainingStep(model::Architecture architecture, device::Device& device,
                           ThreadPool& pool, std::int64_t sequence, const Options& options,
                           train::ParameterSet weights)
    : architecture_(std::move(architecture)),
      pool_(pool),
      sequence_(static_cast<std::size_t>(sequence)),
      weights_(std::move(weights)),
      gradients_(architecture_),
      m_(architecture_),
      v_(architecture_),
      pipeline_(architecture_, device, pool, train::stage_form({}, sequence),
                {.training = true, .recompute = options.recompute}),
      model_(architecture_, pipeline_, pool, sequence) {
    if (options.overlap) {
        pipeline_.overlap_weight_gradients(pool.threads());
    }
    pipeline_.stage_weights(weights_);
}

StepFigures TrainingStep::run(std::span<const std::int32_t> tokens) {
    constexpr double scale = 1024.0;
    pipeline_.times() = {};
    StepFigures figures;
    figures.ms = milliseconds([&] {
        const std::size_t batch = tokens.size() / (2 * sequence_);
        const double positions = static_cast<double>(batch * sequence_);
        gradients_.set_zero(pool_);
        for (std::size_t i = 0; i < batch; ++i) {
            const auto own = tokens.subspan(2 * i * sequence_, 2 * sequence_);
            figures.loss +=
                model_.forward(own.first(sequence_), own.last(sequence_), weights_) / positions;
            model_.backward(scale, weights_, gradients_);
        }
        const double unit = scale * static_cast<double>(batch);
        const double norm = std::sqrt(kernels::sum_of_squares(gradients_.all(), pool_)) / unit;
        const kernels::AdamW rule{
            3e-5F,   0.9F, 0.95F, 1e-8F, 0.1F, static_cast<float>(std::min(1.0, 1.0 / norm) / unit),
            ++steps_};
        for (std::size_t i = 0; i < weights_.size(); ++i) {
            kernels::adamw(rule, gradients_.values(i), weights_.values(i), m_.values(i),
                           v_.values(i), pool_);
        }
        pipeline_.stage_weights(weights_);
    });
    figures.device_ms = pipeline_.times().device;
    figures.io_ms = pipeline_.times().io;
    return figures;
}

std::vector<std::int32_t> random_tokens(std::int64_t batch, std::int64_t sequence,
                                        std::int64_t vocabulary, Random& random) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(2 * batch * sequence));
    for (auto& token : tokens) {
        token = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary)));
    }
    return tokens;
}

}  // namespace pome::cli::bench
