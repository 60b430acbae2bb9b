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
inline float to_float(fp16 value) {
    const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000) << 16;
    const std::uint32_t exponent = (value.bits >> 10) & 0x1F;
    const std::uint32_t fraction = value.bits & 0x3FF;
    if (exponent == 0) {
        const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
        return sign != 0 ? -magnitude : magnitude;
    }
    const std::uint32_t rebased = exponent == 31 ? 255 : exponent + 112;
    return std::bit_cast<float>(sign | (rebased << 23) | (fraction << 13));
}

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
