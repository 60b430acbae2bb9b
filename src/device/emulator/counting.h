#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/fp16.h"
#include "base/numerics.h"
#include "base/shape.h"
#include "kernels/matmul.h"

namespace pome::device::emulator {

/// Products of non-zero factors that are dropped or round to zero, in all jobs, by
/// reference/chip/multiply_accumulate.h. For each k the normal factors are counted by exponent, so
/// it takes m + n steps and not m * n. Normal factors of rules that drop nothing are not looked at.
std::int64_t vanished_products(const std::vector<kernels::MatmulJob>& jobs,
                               const Numerics::MultiplyAccumulate& rules);

std::int64_t count_infinite(const fp16* values, std::int64_t count);
std::int64_t count_nan(const fp16* values, std::int64_t count);

/// Elements of `op` (add, sub, mul, real_div) of x and y, broadcast to `result`, that IEEE leaves
/// undefined though no operand is NaN: infinity - infinity, 0 * infinity, 0 / 0, infinity /
/// infinity. 0 for other ops.
std::int64_t count_indeterminate(std::string_view op, const fp16* x, const Shape& x_shape,
                                 const fp16* y, const Shape& y_shape, const Shape& result);

/// Whether an op only moves values, so that nothing can saturate or be coerced in it.
bool only_moves(std::string_view op);

}  // namespace pome::device::emulator
