#pragma once

#include <cstdint>
#include <span>

#include "base/fp16.h"
#include "base/numerics.h"
#include "base/thread_pool.h"
#include "kernels/matmul.h"

namespace pome::kernels {

// Products of one vector, or a few, with a matrix that is read once: as fast as memory delivers it.
// The matrix must lie so that the elements of one step of the sum are neighbours.

/// Whether a product of matmul.h is one: without bias, its results contiguous, and either one
/// column b times an a whose rows are neighbours, or few rows a times a b whose columns are.
bool is_matrix_vector(const MatmulJob& job);

/// The products of matmul_fast() for jobs that are is_matrix_vector(): sums in fp32, k ascending,
/// but those of matrices from 65,536 elements on, of at most 4,096 columns without a gap between
/// rows, in up to eight pieces along k, added in order. The bits do not depend on the number of
/// threads.
void matrix_vector_fast(std::span<const MatmulJob> jobs, ThreadPool& pool);

/// The same bits and counts as matmul_exact() by the default rules, for jobs that are
/// is_matrix_vector(). Tiles whose magnitudes do not rule out a sum beyond the quick way's range
/// are left to matmul_exact().
void matrix_vector_exact(std::span<const MatmulJob> jobs, ThreadPool& pool, MatmulScratch& scratch,
                         MatmulStatistics* statistics);

/// y[n] = sum_k x[k] w[k, n] in fp32, summed as in matrix_vector_fast(). w is
/// fp16, w[k, n] at w[k * stride + n]; y overlaps neither.
void matrix_vector(const float* x, const fp16* w, std::int64_t inner, std::int64_t columns,
                   std::int64_t stride, float* y, ThreadPool& pool);

}  // namespace pome::kernels
