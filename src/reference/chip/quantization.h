#pragma once

#include <cstdint>
#include <span>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

// Integers of 8 bits are held as the fp16 values that they are.

/// scale (q - zero_point) in one rounding (spec.md 2.3.9: PE).
fp16 dequantize(fp16 q, fp16 scale, fp16 zero_point, const Numerics& numerics);
/// The quotient as an op of its own, rounded to fp16, to an integer with halves away from zero (as
/// the engine's round), plus zero_point, clamped to [low, high]: assumed.
fp16 quantize(fp16 x, fp16 scale, fp16 zero_point, float low, float high, const Numerics& numerics);

/// Products of 8-bit operands, both quantized: summed in int32, scaled afterwards, rounded once; a
/// sum of 2^31 or more is infinite. Results may exceed 2^15.
/// Source: the M4/M6 study (spec.md 3.11). `scale` is the product of both operands' scales.
fp16 integer_product(std::span<const std::int32_t> x, std::span<const std::int32_t> w, double scale,
                     const Numerics& numerics);

/// A sum over 8-bit weights that stream as they are, already rounded to fp16, times its scale.
/// Source: the group dot product of spec.md 3.7 (M5 Pro, bit for bit) and ANEForge issue 153 (M2
/// Pro); that constexpr_affine_dequantize behaves the same is likely, not measured.
fp16 scaled_sum(fp16 sum, fp16 scale, const Numerics& numerics);

}  // namespace pome::reference::chip
