#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace pome::kernels {

struct CrossEntropy {
    double loss = 0.0;  ///< sum over the counted positions of -log softmax(logits)[target], in nats
    std::int64_t counted = 0;
};

/// logits [positions][vocabulary], rows contiguous; targets [positions], -1 does not count.
/// Afterwards logits hold the gradient factor * (softmax - onehot(target)), zero where the target
/// does not count. The caller guarantees target < vocabulary. Results do not depend on the number
/// of threads.
CrossEntropy cross_entropy(float* logits, std::span<const std::int32_t> targets,
                           std::int64_t vocabulary, float factor, ThreadPool& pool);

/// The same from probabilities that were computed elsewhere: afterwards they hold the gradient. A
/// target's probability below `least` counts as `least`: in fp16 it may have become 0.
CrossEntropy cross_entropy_of_probabilities(float* probabilities,
                                            std::span<const std::int32_t> targets,
                                            std::int64_t vocabulary, float factor, float least,
                                            ThreadPool& pool);

}  // namespace pome::kernels
