#pragma once

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

// Elementwise ops of the engine, one element: computed exactly, rounded once to fp16 by `output`
// (ties away on the M4). With coerce_nan, as measured on the M1: a NaN operand acts as +inf, an
// indeterminate result (inf - inf, 0 * inf, inf / inf, 0 / 0) is +0, and -0 comes out as +0;
// without it, IEEE.

using Rules = Numerics::Elementwise;

fp16 add(fp16 x, fp16 y, const Rules& rules);
fp16 sub(fp16 x, fp16 y, const Rules& rules);
fp16 mul(fp16 x, fp16 y, const Rules& rules);
fp16 real_div(fp16 x, fp16 y,
              const Rules& rules);  ///< x / +-0 is +inf for x > 0 and -inf for x < 0 when coercing
fp16 maximum(fp16 x, fp16 y, const Rules& rules);
fp16 minimum(fp16 x, fp16 y, const Rules& rules);

fp16 abs(fp16 x, const Rules& rules);
fp16 sign(fp16 x, const Rules& rules);
fp16 floor(fp16 x, const Rules& rules);
fp16 ceil(fp16 x, const Rules& rules);
/// trunc of x +- 0.5 rounded to fp16: so 1025 becomes 1026, as seen on an M5.
fp16 round(fp16 x, const Rules& rules);
fp16 square(fp16 x, const Rules& rules);
fp16 relu(fp16 x, const Rules& rules);

/// An exact result as the engine would store it.
fp16 store(double exact, const Rules& rules);
/// An operand as the engine reads it.
double load(fp16 x, const Rules& rules);

}  // namespace pome::reference::chip
