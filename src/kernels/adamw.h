#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace pome::kernels {

struct AdamW {
    float learning_rate, beta1, beta2, epsilon;
    float weight_decay;     ///< decoupled: taken off the weight itself
    float gradient_factor;  ///< gradients are multiplied by this first (unscaling and clipping)
    std::int64_t update;    ///< from 1, for the bias correction
};

/// One AdamW update in one pass: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
/// w -= lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay w). Element by element, so
/// independent of threads. All four have the same length; gradients are left as they are.
void adamw(const AdamW& rule, std::span<const float> gradient, std::span<float> weight,
           std::span<float> m, std::span<float> v, ThreadPool& pool);

/// Sum of squares in double, blocks of a fixed size added in order: independent of threads.
/// Infinite or NaN when an element is not finite.
double sum_of_squares(std::span<const float> values, ThreadPool& pool);

}  // namespace pome::kernels
