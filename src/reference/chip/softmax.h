#pragma once

#include <span>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

/// exp as softmax uses it: the op exp.
fp16 softmax_exp(fp16 difference, const Numerics& numerics);

/// The reciprocal of the sum: the op inverse.
fp16 softmax_reciprocal(fp16 sum, const Numerics& numerics);

/// The sum inside softmax, every addition rounded to fp16: eight neighbours as (three) + (three) +
/// (two), four of those one after another, four of those again, and so on; missing ones are zeros.
/// Source: with this order, and with no other of some 3,000, each of the 468 sums that can be read
/// back from a captured attention program of 64 positions goes with one reciprocal. That program
/// shows two groups of 32; how more of them are joined is assumed.
fp16 softmax_sum(std::span<const fp16> x, const Numerics::Elementwise& rules);

/// Softmax of one row: the maximum is subtracted (fp16), exp by table (fp16), the sum is taken in
/// fp16 by softmax_sum, then an fp16 reciprocal by table and an fp16 product. Not narrow: computed
/// in double, rounded once. NaN counts as +inf, which takes the whole mass. x is not empty; x and y
/// may be the same.
/// Source: the same program, all of whose 49,152 outputs this yields (docs/softmax.md).
void softmax(std::span<const fp16> x, std::span<fp16> y, const Numerics& numerics);

}  // namespace pome::reference::chip
