#pragma once

#include <cstdint>

#include "base/numerics.h"
#include "kernels/unary.h"

namespace pome::kernels {

/// The two functions inside the engine's softmax.
struct SoftmaxTables {
    UnaryTable exp;         ///< of differences to the maximum
    UnaryTable reciprocal;  ///< of the sum
};

/// Softmax of every row of x [rows, columns] into y, contiguous. columns >= 1. y may be x.
/// numerics.softmax.narrow: equal to reference/chip/softmax.h in every bit if the tables are its
/// softmax_exp and softmax_reciprocal (but which NaN, without coerce_nan). Otherwise in fp32,
/// rounded once to fp16: at most one unit in the last place from the exact value; the tables are
/// not read.
void softmax_rows(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                  const SoftmaxTables& tables, const Numerics& numerics);

/// The same of every column of x: `rows` elements, `stride` apart in x and in y. y may be x.
void softmax_columns(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                     std::int64_t stride, const SoftmaxTables& tables, const Numerics& numerics);

}  // namespace pome::kernels
