#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/matmul.h"

namespace pome::kernels {

// The products of a classifier on the host, fp32, one after another in k whatever the number of
// threads: x [channels][positions], weights [vocabulary][channels], logits and their gradient
// [positions][vocabulary].

struct ClassifierSizes {
    std::int64_t channels, positions, vocabulary;
};

/// logits = x^T weights^T.
void classifier_logits(const ClassifierSizes& sizes, const float* x, const float* weights,
                       float* logits, ThreadPool& pool, MatmulScratch& scratch);

/// dx [channels][positions] = factor weights^T dlogits^T.
void classifier_input_gradient(const ClassifierSizes& sizes, const float* weights,
                               const float* dlogits, float factor, float* dx, ThreadPool& pool,
                               MatmulScratch& scratch);

/// dweights += factor dlogits^T x^T.
void classifier_weight_gradient(const ClassifierSizes& sizes, const float* dlogits, const float* x,
                                float factor, float* dweights, ThreadPool& pool,
                                MatmulScratch& scratch);

}  // namespace pome::kernels
