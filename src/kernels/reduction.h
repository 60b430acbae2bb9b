#pragma once

#include <cstdint>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::kernels {

// Reductions of x [outer, count, inner] over the middle axis into y [outer, inner], equal to
// reference/chip/reduction (sums) and reference/chip/elementwise (maximum, minimum) in every bit.
// count >= 1; no overlap.

/// Sums of tiles of up to this many values may be added in any order: they are multiples of 2^-24,
/// and together below 2^29 if they are finite, so no sum of some of them leaves a double's 53 bits.
inline constexpr std::int64_t most_in_any_order = 8192;

/// Whether the vectors' way of squares has these rules: tiles of four at 11 fraction bits, squares
/// rounded to the nearest, ties away.
bool squares_go_by_vectors(const Numerics& numerics);

/// Adds `rows` rows of x (row r begins at x + r * stride) to the sums of `columns` columns, tile by
/// tile from the first row: the caller passes whole tiles except at the end.
void add_to_sums(const fp16* x, std::int64_t stride, std::int64_t rows, std::int64_t columns,
                 const Numerics::Reduction& rules, double* sums);
/// Adds the squares of the elements instead, each rounded as the engine's product.
void add_squares_to_sums(const fp16* x, std::int64_t stride, std::int64_t rows,
                         std::int64_t columns, const Numerics& numerics, double* sums);
/// y = the sums rounded; of means (count > 0) times 1/count in fp32 first.
void finish_sums(const double* sums, std::int64_t columns, std::int64_t count, fp16* y,
                 const Numerics::Reduction& rules);

void reduce_sum(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
                const Numerics::Reduction& rules);
/// The sum times 1/count in fp32, rounded once.
void reduce_mean(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
                 const Numerics::Reduction& rules);
/// y = the sums, or means, of the squares of contiguous rows, each square rounded as the engine's
/// product.
void reduce_squares(const fp16* x, fp16* y, std::int64_t rows, std::int64_t count, bool is_mean,
                    const Numerics& numerics);
void reduce_max(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
                const Numerics::Elementwise& rules);
void reduce_min(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
                const Numerics::Elementwise& rules);

}  // namespace pome::kernels
