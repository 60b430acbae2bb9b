#pragma once

#include <cstdint>
#include <string>

#include "base/thread_pool.h"

namespace pome::kernels {

/// c[m, n] = alpha * op(a)[m, k] op(b)[k, n] + beta * c, fp32, row-major, leading dimensions in
/// elements; op transposes. Uses the system's BLAS on one thread for each part; the split depends
/// on the shape and the pool alone, so results repeat.
void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          float alpha, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
          float beta, float* c, std::int64_t ldc, ThreadPool& pool);

/// The system's BLAS with its version and the processor that it chose its kernels for.
std::string blas_name();

}  // namespace pome::kernels
