#pragma once

#include <cstdint>
#include <functional>

#include "base/fp16.h"
#include "kernels/softmax.h"

namespace pome::kernels {

// The engine's softmax (numerics.softmax.narrow, ties away, NaN coerced) where its exponential is
// computed by lines in vectors.

/// Whether these tables and this machine's vectors allow it.
bool softmax_has_lines(const SoftmaxTables& tables);

/// Softmax of the rows of x [rows, columns] into y, which may be x. Rows with infinities or NaN
/// that decide the result are left alone: `rest(row)` is called for them.
void softmax_rows_by_lines(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                           const SoftmaxTables& tables,
                           const std::function<void(std::int64_t row)>& rest);

/// Softmax along the rows of `columns` columns: row r begins at x + r * stride, and likewise in y,
/// which may be x. Columns of that kind, and some of their neighbours, are left alone:
/// `rest(first, columns)` is called for them.
void softmax_columns_by_lines(
    const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns, std::int64_t stride,
    const SoftmaxTables& tables,
    const std::function<void(std::int64_t first, std::int64_t columns)>& rest);

}  // namespace pome::kernels
