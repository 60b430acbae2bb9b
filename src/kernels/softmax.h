#pragma once

#include <cstdint>
#include <functional>

#include "base/numerics.h"
#include "kernels/unary.h"

namespace pome::kernels {

/// The two functions inside the engine's softmax.
struct SoftmaxTables {
    UnaryTable exp;         ///< of differences to the maximum
    UnaryTable reciprocal;  ///< of the sum
};

/// Softmax of every row of x [rows, columns] into y, equal to reference/chip/softmax in every bit
/// when numerics.softmax.narrow; otherwise in fp32, rounded once. columns >= 1. y may be x.
void softmax_rows(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                  const SoftmaxTables& tables, const Numerics& numerics);

}  // namespace pome::kernels
