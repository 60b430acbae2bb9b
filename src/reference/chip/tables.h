#pragma once

#include <cstdint>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

enum class Function : std::uint8_t {
    sigmoid,
    tanh,
    gelu,
    silu,
    erf,
    exp,
    exp2,
    log,
    sqrt,
    rsqrt,
    inverse,
    sin,
    cos,
    atan,
    exp_minus_one,  ///< e^x - 1 for x <= 0: what elu is made of
};

/// One element of a table-driven function. exp, exp2 and inverse: 32 lines over a mantissa's range
/// by a rule read from a real engine's outputs (docs/softmax.md); exp is exp2 of an fp16 product
/// with fp16(log2 e). The others: 33 knots, fp16(f(knot)) ties away, linear between them with one
/// rounding to fp16 at the end, clamped outside; published error bounds are met, the bits of the
/// knots are assumed. With tables disabled: the exact function, rounded once.
/// Source: ane-guide ch. 3, 25, 26 and the M4/M6 study, as summed up in the fact sheets
/// (spec.md 3.6).
/// atan and exp_minus_one, whose tables nobody describes: 32 steps on [0, 16] (odd) and on
/// [-10.5, 0], the widths at which normal data shows the relative errors that ANEForge's sweep of
/// an M5 reports, .0188 for atan and 5.06e-3 for elu: assumed.
fp16 evaluate(Function function, fp16 x, const Numerics& numerics);

/// x^p. -0.5, 0.5, -1 and 2 are rsqrt, sqrt, inverse and a product; other powers are 2^(p log2 x),
/// exact in between.
fp16 power(fp16 x, fp16 p, const Numerics& numerics);

}  // namespace pome::reference::chip
