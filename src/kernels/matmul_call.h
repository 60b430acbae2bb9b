#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "kernels/matmul.h"

namespace pome::kernels {

/// What the vector code of one call works with.
template <typename Job>
struct MatmulCallOf {
    std::span<const Job> jobs;
    ThreadPool* pool;
    MatmulScratch* scratch;
    std::atomic<std::int64_t>* saturated;
    std::atomic<std::int64_t>* slow_blocks;
};
using MatmulCall = MatmulCallOf<MatmulJob>;

/// How the products of one block may be done.
enum class Way {
    quick,    ///< products below 63, no partial sum can reach 2^15
    wide,     ///< no partial sum can reach 2^15
    ordered,  ///< anything: k ascending, each partial sum tested
};

/// One result by any rules, equal to reference/chip/multiply_accumulate, slowly.
fp16 exact_result(const MatmulJob& job, std::int64_t row, std::int64_t column,
                  const Numerics::MultiplyAccumulate& rules, std::int64_t& saturated);

}  // namespace pome::kernels
