#include "reference/chip/multiply_accumulate.h"

#include <algorithm>
#include <cmath>

namespace pome::reference::chip {
namespace {

constexpr std::int64_t largest_sum = std::int64_t{1} << 62;

/// Unbiased exponent; subnormals count as -14.
int exponent_of(fp16 value) {
    return std::max(1, (value.bits >> 10) & 0x1F) - 15;
}

/// `value`, in units, as an integer.
std::int64_t round_to_integer(double value, Rounding rounding) {
    const double whole = std::trunc(value), rest = std::fabs(value - whole);
    const bool odd = std::fmod(whole, 2.0) != 0.0;
    const bool up = (rounding == Rounding::nearest_away && rest >= 0.5) ||
                    (rounding == Rounding::nearest_even && (rest > 0.5 || (rest == 0.5 && odd)));
    return static_cast<std::int64_t>(up ? whole + std::copysign(1.0, value) : whole);
}

std::int64_t first_value(float bias, double units, Rounding rounding) {
    if (std::isnan(bias)) {
        return largest_sum;
    }
    const double value = static_cast<double>(bias) * units;
    if (std::fabs(value) >= 0x1p62) {
        return value < 0 ? -largest_sum : largest_sum;
    }
    return round_to_integer(value, rounding);
}

/// Products exact, summed in fp32: what the rules are compared with.
fp16 floating_point_sum(std::span<const fp16> x, std::span<const fp16> w, float bias,
                        Rounding output) {
    float sum = bias;
    for (std::size_t k = 0; k < x.size(); ++k) {
        sum += to_float(x[k]) * to_float(w[k]);
    }
    return to_fp16(sum, output);
}

}  // namespace

double decode(fp16 value) {
    if ((value.bits & 0x7C00) != 0x7C00) {
        return to_float(value);
    }
    const double magnitude = std::ldexp(1024.0 + (value.bits & 0x3FF), 6);
    return (value.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

FixedPointSum fixed_point_sum(std::span<const fp16> x, std::span<const fp16> w, float bias,
                              const Numerics::MultiplyAccumulate& rules,
                              ProductCounters* counters) {
    ProductCounters ignored;
    ProductCounters& count = counters != nullptr ? *counters : ignored;
    const double units = std::ldexp(1.0, rules.fraction_bits);
    const auto limit = std::int64_t{1} << (rules.fraction_bits + rules.limit_exponent);
    const auto beyond = [&](std::int64_t sum) { return sum >= limit || sum <= -limit; };

    std::int64_t sum = first_value(bias, units, rules.product);
    const auto result = [&] {
        return FixedPointSum{static_cast<double>(sum) / units, !beyond(sum)};
    };
    for (std::size_t k = 0; k < x.size(); ++k) {
        if (rules.sticky && beyond(sum)) {
            return result();
        }
        if (is_zero(x[k]) || is_zero(w[k])) {
            continue;
        }
        if (rules.drop && exponent_of(x[k]) + exponent_of(w[k]) <= rules.drop_exponent) {
            ++count.dropped;
            continue;
        }
        const auto product = round_to_integer(decode(x[k]) * decode(w[k]) * units, rules.product);
        if (product == 0) {
            ++count.vanished;
        }
        sum = std::clamp(sum + product, -largest_sum, largest_sum);
    }
    return result();
}

fp16 multiply_accumulate(std::span<const fp16> x, std::span<const fp16> w, float bias,
                         const Numerics::MultiplyAccumulate& rules, ProductCounters* counters) {
    if (!rules.fixed_point) {
        return floating_point_sum(x, w, bias, rules.output);
    }
    const FixedPointSum total = fixed_point_sum(x, w, bias, rules, counters);
    const fp16 rounded = to_fp16(total.sum, rules.output);
    if (!total.finite || std::fabs(to_float(rounded)) >= std::ldexp(1.0F, rules.limit_exponent)) {
        if (counters != nullptr) {
            ++counters->saturated;
        }
        return fp16{static_cast<std::uint16_t>(total.sum < 0.0 ? 0xFC00 : 0x7C00)};
    }
    return total.sum == 0.0 ? fp16{0} : rounded;
}

}  // namespace pome::reference::chip
