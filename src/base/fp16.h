#pragma once

#include <bit>
#include <cstdint>

namespace pome {

/// IEEE binary16, storage only: the bits as they lie in surfaces and files.
struct fp16 {
    std::uint16_t bits = 0;
    friend constexpr bool operator==(fp16, fp16) = default;  ///< compares bits
};

enum class Rounding {
    nearest_even,  ///< what hosts do (F16C, NEON, NumPy)
    nearest_away,  ///< ties away from zero: what the engine does
    toward_zero,
};

/// Exact.
float to_float(fp16 value);

/// Rounds once; subnormals are kept; beyond the range gives infinity (nearest modes) or the largest
/// finite value (toward_zero). NaN stays NaN (quiet, sign kept).
fp16 to_fp16(double value, Rounding rounding);
/// The same for float.
fp16 to_fp16(float value, Rounding rounding);

constexpr bool is_nan(fp16 v) {
    return (v.bits & 0x7FFF) > 0x7C00;
}
constexpr bool is_infinite(fp16 v) {
    return (v.bits & 0x7FFF) == 0x7C00;
}
constexpr bool is_zero(fp16 v) {
    return (v.bits & 0x7FFF) == 0;
}

constexpr float fp16_max = 65504.0F;
constexpr float fp16_min_normal = 0x1p-14F;
constexpr float fp16_min_subnormal = 0x1p-24F;

}  // namespace pome
