#pragma once

#include <cstdint>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::kernels {

enum class Binary : std::uint8_t { add, sub, mul, real_div, maximum, minimum };

/// out[i] = x[i] op y[i] for i < count, x[0] or y[0] throughout where it is a scalar; equal to
/// reference/chip/elementwise.h in every bit (but which NaN, without rules.coerce_nan). Contiguous.
/// out may be x or y; no other overlap.
void binary(Binary op, const fp16* x, bool x_is_scalar, const fp16* y, bool y_is_scalar, fp16* out,
            std::int64_t count, const Numerics::Elementwise& rules);

/// out[i] = x[i] factor + y[i], each rounded: binary() twice without what lies between. y[0]
/// throughout where it is a scalar. out may be x or y; no other overlap.
void scaled_sum(const fp16* x, fp16 factor, const fp16* y, bool y_is_scalar, fp16* out,
                std::int64_t count, const Numerics::Elementwise& rules);

}  // namespace pome::kernels
