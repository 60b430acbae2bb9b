#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <span>

#include "kernels/matmul.h"

namespace pome::kernels {

/// What the vector code of one call works with.
struct MatmulCall {
    std::span<const MatmulJob> jobs;
    ThreadPool* pool;
    MatmulScratch* scratch;
    const Numerics::MultiplyAccumulate* rules;
    std::atomic<std::int64_t>* saturated;
    std::atomic<std::int64_t>* slow_blocks;
};

/// A block of rows of a against a panel of columns of b.
struct Block {
    float a_norm = 0, b_norm = 0;         ///< largest sum of squares of a row, of a column
    float a_largest = 0, b_largest = 0;   ///< largest magnitudes
    float bias = 0;                       ///< largest magnitude
};

fp16 exact_result(const MatmulJob& job, std::int64_t row, std::int64_t column, const Numerics::MultiplyAccumulate& rules,
                  std::int64_t& saturated);

}  // namespace pome::kernels
