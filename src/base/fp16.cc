#include "base/fp16.h"

#include <algorithm>
#include <cmath>

namespace pome {

fp16 to_fp16(double value, Rounding rounding) {
    const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const auto make = [sign](std::uint32_t bits) {
        return fp16{static_cast<std::uint16_t>(sign | bits)};
    };
    if (std::isnan(value)) {
        return make(0x7E00);
    }
    const auto overflow = [&] { return make(rounding == Rounding::toward_zero ? 0x7BFF : 0x7C00); };
    const std::uint64_t magnitude = std::bit_cast<std::uint64_t>(value) & ~(std::uint64_t{1} << 63);
    const int exponent = static_cast<int>(magnitude >> 52) - 1023;
    if (rounding == Rounding::nearest_away && exponent >= -14 && exponent <= 14) {
        // Half a unit added; a carry moves into the exponent, and the exponent's bias changes.
        return make(static_cast<std::uint32_t>((magnitude + (std::uint64_t{1} << 41)) >> 42) -
                    (1008U << 10));
    }
    if (exponent > 15) {
        return exponent == 1024 ? make(0x7C00) : overflow();
    }
    if (exponent < -25) {
        return make(0);  // below half of the smallest subnormal
    }
    // 53 bits, of which those above the unit in the last place are kept: 11, or fewer of
    // subnormals.
    const std::uint64_t significand =
        (magnitude & ((std::uint64_t{1} << 52) - 1)) | std::uint64_t{1} << 52;
    const int dropped = 42 + std::max(0, -14 - exponent);
    const std::uint64_t half = std::uint64_t{1} << (dropped - 1);
    const std::uint64_t rest = significand & (2 * half - 1);
    auto bits = static_cast<std::uint32_t>(significand >> dropped);
    const bool up =
        (rounding == Rounding::nearest_away && rest >= half) ||
        (rounding == Rounding::nearest_even && (rest > half || (rest == half && (bits & 1U) != 0)));
    // The leading one and a carry out of the fraction move into the exponent field by themselves.
    bits += (up ? 1U : 0U) + (static_cast<std::uint32_t>(std::max(0, exponent + 14)) << 10);
    return bits >= 0x7C00 ? overflow() : make(bits);
}

fp16 to_fp16(float value, Rounding rounding) {
    return to_fp16(static_cast<double>(value), rounding);
}

}  // namespace pome
