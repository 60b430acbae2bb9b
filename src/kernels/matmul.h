#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/fp16.h"
#include "base/large_memory.h"
#include "base/numerics.h"
#include "base/thread_pool.h"

namespace pome::kernels {

/// Element (r, c) at data[r * row_stride + c * column_stride].
template <typename Element>
struct MatrixOf {
    const Element* data;
    std::int64_t rows, columns, row_stride, column_stride;
};
using Matrix = MatrixOf<fp16>;
using FloatMatrix = MatrixOf<float>;

/// y[m, n] = bias[m] + sum_k a[m, k] b[k, n]; row r of y starts at y + r * y_row_stride, its
/// columns are contiguous. y overlaps neither a nor b. `bias` may be null.
struct MatmulJob {
    Matrix a;
    Matrix b;
    fp16* y;
    std::int64_t y_row_stride;
    const float* bias;
};

/// y[m, n] += sum_k a[m, k] b[k, n] in fp32, y as above.
struct MatmulSum {
    Matrix a;
    Matrix b;
    float* y;
    std::int64_t y_row_stride;
};

/// y[m, n] = sum_k a[m, k] (factor b[k, n]) in fp32, or += with `adds`. Element (m, n) of y at
/// m * y_row_stride + n * y_column_stride, one of which is 1; y overlaps neither a nor b.
struct FloatProduct {
    FloatMatrix a;
    FloatMatrix b;
    float factor;
    bool adds;
    float* y;
    std::int64_t y_row_stride, y_column_stride;
};

struct MatmulStatistics {
    std::int64_t saturated = 0;  ///< results that became infinite
    std::int64_t slow_blocks =
        0;  ///< blocks of y that large products or sums forced to a slower way
};

/// Packing memory, kept between calls. One user at a time.
class MatmulScratch {
  public:
    /// At least `count` floats, 64-byte aligned; contents are undefined.
    float* reserve(std::size_t count);
    std::int64_t bytes() const { return static_cast<std::int64_t>(memory_.size() * sizeof(float)); }

  private:
    LargeVector<float> memory_;
};

/// Many products by the engine's fixed-point rules, equal to reference/chip/multiply_accumulate in
/// every bit for any input, whatever the number of threads. a.columns equals b.rows; any size may
/// be 0. Threads share the jobs; small calls stay on the calling thread. Statistics are added to.
/// Rules other than the defaults are done product by product, about a hundred times slower.
void matmul_exact(std::span<const MatmulJob> jobs, const Numerics::MultiplyAccumulate& rules,
                  ThreadPool& pool, MatmulScratch& scratch, MatmulStatistics* statistics);

/// The same products with exact fp32 operands, fp32 FMA sums with k ascending, rounded to nearest
/// even. IEEE infinities and NaN.
void matmul_fast(std::span<const MatmulJob> jobs, ThreadPool& pool, MatmulScratch& scratch);

/// Products that are added to fp32 sums: fp32 FMA from y on, k ascending, whatever the number of
/// threads.
void matmul_add(std::span<const MatmulSum> jobs, ThreadPool& pool, MatmulScratch& scratch);

/// A product of fp32 operands, k ascending, whatever the number of threads. Rows of a whose
/// elements are neighbours are read where they lie, b is packed, 1024 steps of k at a time: let b
/// be the smaller one.
void matmul_floats(const FloatProduct& product, ThreadPool& pool, MatmulScratch& scratch);

}  // namespace pome::kernels
