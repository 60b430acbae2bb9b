#pragma once

#include <span>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

/// exp as softmax uses it: the op exp.
fp16 softmax_exp(fp16 difference, const Numerics& numerics);

/// The reciprocal of the sum: the op inverse.
fp16 softmax_reciprocal(fp16 sum, const Numerics& numerics);

/// The sum inside softmax. Groups of 32: eight neighbours as (three) + (three) + (two), the four
/// eights one after another, every addition rounded to fp16; missing ones are zeros. The groups'
/// sums are added exactly and rounded once.
/// Source: a captured attention program of 64 positions shows the groups (docs/softmax.md). Of its
/// two groups it cannot tell how more are joined; exactly, as tiles of the reduction path are,
/// comes closest to published errors of attention over 197 and 512 positions.
fp16 softmax_sum(std::span<const fp16> x, const Numerics::Elementwise& rules);

/// Softmax of one row: the maximum is subtracted (fp16), exp by table (fp16), the sum is taken in
/// fp16 by softmax_sum, then an fp16 reciprocal by table and an fp16 product. Not narrow: computed
/// in double, rounded once. NaN counts as +inf, which takes the whole mass. x is not empty; x and y
/// may be the same.
/// Source: the same program, all of whose 49,152 outputs this yields (docs/softmax.md).
void softmax(std::span<const fp16> x, std::span<fp16> y, const Numerics& numerics);

}  // namespace pome::reference::chip
