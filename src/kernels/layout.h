#pragma once

#include <cstdint>
#include <vector>

#include "base/fp16.h"

namespace pome::kernels {

/// y[c * y_stride + r] = x[r * x_stride + c] for r < rows, c < columns. No overlap.
void transpose(const fp16* x, std::int64_t x_stride, fp16* y, std::int64_t y_stride,
               std::int64_t rows, std::int64_t columns);

/// y = x with its axes permuted: axis i of y is axis perm[i] of x. x has `sizes`, both are dense.
void permute(const fp16* x, fp16* y, const std::vector<std::int64_t>& sizes,
             const std::vector<int>& perm);
/// The same, of y the indices [begin, end) of its first axis only. At least one axis.
void permute(const fp16* x, fp16* y, const std::vector<std::int64_t>& sizes,
             const std::vector<int>& perm, std::int64_t begin, std::int64_t end);

}  // namespace pome::kernels
