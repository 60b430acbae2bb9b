#include "kernels/classifier.h"

namespace pome::kernels {

// Each time the larger operand is read where it lies, as rows of a, and the smaller one packed.

void classifier_logits(const ClassifierSizes& sizes, const float* x, const float* weights,
                       float* logits, ThreadPool& pool, MatmulScratch& scratch) {
    const auto [channels, positions, vocabulary] = sizes;
    matmul_floats({{weights, vocabulary, channels, channels, 1},
                   {x, channels, positions, positions, 1},
                   1.0F,
                   false,
                   logits,
                   1,
                   vocabulary},
                  pool, scratch);
}

void classifier_input_gradient(const ClassifierSizes& sizes, const float* weights,
                               const float* dlogits, float factor, float* dx, ThreadPool& pool,
                               MatmulScratch& scratch) {
    const auto [channels, positions, vocabulary] = sizes;
    matmul_floats({{dlogits, positions, vocabulary, vocabulary, 1},
                   {weights, vocabulary, channels, channels, 1},
                   factor,
                   false,
                   dx,
                   1,
                   positions},
                  pool, scratch);
}

void classifier_weight_gradient(const ClassifierSizes& sizes, const float* dlogits, const float* x,
                                float factor, float* dweights, ThreadPool& pool,
                                MatmulScratch& scratch) {
    const auto [channels, positions, vocabulary] = sizes;
    matmul_floats({{dlogits, vocabulary, positions, 1, vocabulary},
                   {x, positions, channels, 1, positions},
                   factor,
                   true,
                   dweights,
                   channels,
                   1},
                  pool, scratch);
}

}  // namespace pome::kernels
