#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace pome::kernels {

// Activations are channel-first fp32: element (c, s) of [channels][positions] at c * positions + s.
// Results do not depend on the number of threads: a sum over the channels is that of eight pieces,
// [channels i / 8, channels (i + 1) / 8), each in order, added in order.

/// y(c,s) = gain(c) * x(c,s) * root(s), root(s) = 1 / sqrt(mean_c x(c,s)^2 + epsilon). y may be x.
/// root [positions].
void rmsnorm(std::int64_t channels, std::int64_t positions, const float* x, const float* gain,
             float epsilon, float* y, float* root, ThreadPool& pool);

/// root(s) alone.
void rmsnorm_root(std::int64_t channels, std::int64_t positions, const float* x, float epsilon,
                  float* root, ThreadPool& pool);

/// dx(c,s) += root(s) * (gain(c) dy(c,s) - x(c,s) root(s)^2 / channels * sum_c gain(c) dy(c,s)
/// x(c,s)), dgain(c) += sum_s dy(c,s) x(c,s) root(s). `root` is the forward pass's; dgain
/// [channels] may be null.
void rmsnorm_backward(std::int64_t channels, std::int64_t positions, const float* x,
                      const float* gain, const float* root, const float* dy, float* dx,
                      float* dgain, ThreadPool& pool);

/// dgain alone.
void rmsnorm_gain_gradient(std::int64_t channels, std::int64_t positions, const float* x,
                           const float* root, const float* dy, float* dgain, ThreadPool& pool);

}  // namespace pome::kernels
