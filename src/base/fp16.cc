#include "base/fp16.h"

#include <cmath>

namespace pome {

float to_float(fp16 value) {
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

fp16 to_fp16(double value, Rounding rounding) {
    const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const auto make = [sign](std::uint32_t bits) {
        return fp16{static_cast<std::uint16_t>(sign | bits)};
    };
    if (std::isnan(value)) {
        return make(0x7E00);
    }
    const double magnitude = std::fabs(value);
    if (std::isinf(magnitude)) {
        return make(0x7C00);
    }
    if (magnitude == 0.0) {
        return make(0);
    }
    int exponent = std::ilogb(magnitude);
    if (exponent < -14) {
        exponent = -14;
    }
    if (exponent > 15) {
        return make(rounding == Rounding::toward_zero ? 0x7BFF : 0x7C00);
    }
    // In units of the last place: exact, because scaling by a power of two keeps all bits.
    const double scaled = std::ldexp(magnitude, 10 - exponent);
    double whole = std::floor(scaled);
    const double rest = scaled - whole;
    const bool odd = std::fmod(whole, 2.0) != 0.0;
    if (rounding == Rounding::nearest_away && rest >= 0.5) {
        whole += 1.0;
    }
    if (rounding == Rounding::nearest_even && (rest > 0.5 || (rest == 0.5 && odd))) {
        whole += 1.0;
    }
    // A carry out of the fraction moves into the exponent field by itself.
    auto bits = static_cast<std::uint32_t>(whole);
    bits = bits < 1024 ? bits : bits + (static_cast<std::uint32_t>(exponent + 14) << 10);
    if (bits >= 0x7C00) {
        return make(rounding == Rounding::toward_zero ? 0x7BFF : 0x7C00);
    }
    return make(bits);
}

fp16 to_fp16(float value, Rounding rounding) {
    return to_fp16(static_cast<double>(value), rounding);
}

}  // namespace pome
