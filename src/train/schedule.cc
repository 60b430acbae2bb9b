#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pome::train {

double learning_rate(const OptimizerConfig& config, std::int64_t step, std::int64_t steps) {
    const auto at = static_cast<double>(step);
    const auto warmup = static_cast<double>(config.warmup_steps);
    if (step < config.warmup_steps) {
        return config.learning_rate * (at + 1.0) / warmup;
    }
    const double span = std::max(1.0, static_cast<double>(steps - 1) - warmup);
    const double progress = std::clamp((at - warmup) / span, 0.0, 1.0);
    const double low = config.learning_rate * config.minimum_rate;
    return low + 0.5 * (config.learning_rate - low) * (1.0 + std::cos(std::numbers::pi * progress));
}

void LossScale::overflowed() {
    ++skipped_;
    good_ = 0;
    scale_ = std::max(1.0, scale_ / 2.0);
}

void LossScale::succeeded() {
    if (++good_ >= config_.patience) {
        good_ = 0;
        scale_ = std::min(config_.maximum, scale_ * 2.0);
    }
}

void LossScale::restore(double scale, std::int64_t skipped, std::int64_t good) {
    scale_ = scale;
    skipped_ = skipped;
    good_ = good;
}

}  // namespace pome::train
