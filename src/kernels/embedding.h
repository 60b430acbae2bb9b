#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace pome::kernels {

/// x(c,s) = embedding[tokens[s]][c]: rows of [vocabulary][channels] into channel-first x
/// [channels][positions]. The caller guarantees tokens in range.
void embedding_gather(const float* embedding, std::int64_t channels,
                      std::span<const std::int32_t> tokens, float* x, ThreadPool& pool);

/// gradient[tokens[s]][c] += dx(c,s), positions in order; does not depend on the number of threads.
void embedding_scatter(const float* dx, std::int64_t channels, std::span<const std::int32_t> tokens,
                       float* gradient, ThreadPool& pool);

}  // namespace pome::kernels
