#pragma once

#include <cstdint>

#include "train/config.h"

namespace pome::train {

/// The learning rate of update `step` (from 0): a linear warm-up, then a cosine from
/// `learning_rate` to `minimum_rate * learning_rate` at the last of `steps`.
double learning_rate(const OptimizerConfig& config, std::int64_t step, std::int64_t steps);

/// Dynamic loss scaling as a value that is saved with a checkpoint. The engine's window has two
/// ends: products below 2^-16 vanish, sums at 2^15 become infinite; the scale is kept as high as
/// overflows allow.
class LossScale {
  public:
    explicit LossScale(const LossScaleConfig& config) : config_(config), scale_(config.initial) {}

    double scale() const { return scale_; }
    std::int64_t skipped() const { return skipped_; }    ///< updates lost to overflow so far
    std::int64_t good_updates() const { return good_; }  ///< since the last change of scale

    void overflowed();  ///< the update was skipped: halve, never below 1
    void succeeded();   ///< double after `patience` updates without overflow
    void restore(double scale, std::int64_t skipped, std::int64_t good);

  private:
    LossScaleConfig config_;
    double scale_;
    std::int64_t skipped_ = 0;
    std::int64_t good_ = 0;
};

}  // namespace pome::train
