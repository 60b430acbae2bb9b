// The engine's products one by one, by any rules: what matmul_exact falls back to when a rule is
// not the usual one. The kernels' own statement of the model in
// reference/chip/multiply_accumulate.cc.

#include <algorithm>
#include <cmath>

#include "kernels/matmul_call.h"

namespace pome::kernels {
namespace {

constexpr std::int64_t largest_sum = std::int64_t{1} << 62;

int exponent_of(fp16 value) {
    return std::max(1, (value.bits >> 10) & 0x1F) - 15;
}

/// An operand as the engine reads it: exponent 31 is an ordinary exponent.
double decode(fp16 value) {
    const int exponent = exponent_of(value);
    const int hidden = (value.bits & 0x7C00) != 0 ? 1024 : 0;
    const double magnitude = std::ldexp(hidden + (value.bits & 0x3FF), exponent - 10);
    return (value.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

std::int64_t rounded(double value, Rounding rounding) {
    if (std::isnan(value)) {
        return largest_sum;
    }
    if (std::fabs(value) >= 0x1p62) {
        return value < 0 ? -largest_sum : largest_sum;
    }
    if (rounding == Rounding::nearest_away) {
        return std::llround(value);
    }
    if (rounding == Rounding::toward_zero) {
        return static_cast<std::int64_t>(value);
    }
    const double below = std::floor(value), rest = value - below;
    const bool up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2.0) != 0.0);
    return static_cast<std::int64_t>(up ? below + 1.0 : below);
}

}  // namespace

fp16 exact_result(const MatmulJob& job, std::int64_t row, std::int64_t column,
                  const Numerics::MultiplyAccumulate& rules, std::int64_t& saturated) {
    const fp16* a = job.a.data + row * job.a.row_stride;
    const fp16* b = job.b.data + column * job.b.column_stride;
    const float bias = job.bias != nullptr ? job.bias[row] : 0.0F;
    if (!rules.fixed_point) {
        float sum = bias;
        for (std::int64_t k = 0; k < job.a.columns; ++k) {
            sum += to_float(a[k * job.a.column_stride]) * to_float(b[k * job.b.row_stride]);
        }
        return to_fp16(sum, rules.output);
    }
    const double units = std::ldexp(1.0, rules.fraction_bits);
    const auto limit = std::int64_t{1} << (rules.fraction_bits + rules.limit_exponent);
    std::int64_t sum = rounded(static_cast<double>(bias) * units, rules.product);
    bool over = sum >= limit || sum <= -limit;
    for (std::int64_t k = 0; k < job.a.columns && !(over && rules.sticky); ++k) {
        const fp16 x = a[k * job.a.column_stride], w = b[k * job.b.row_stride];
        if (is_zero(x) || is_zero(w)) {
            continue;
        }
        if (rules.drop && exponent_of(x) + exponent_of(w) <= rules.drop_exponent) {
            continue;
        }
        const std::int64_t product = rounded(decode(x) * decode(w) * units, rules.product);
        sum = std::clamp(sum + product, -largest_sum, largest_sum);
        over = sum >= limit || sum <= -limit;
    }
    const fp16 result = to_fp16(static_cast<double>(sum) / units, rules.output);
    if (over || std::fabs(to_float(result)) >= std::ldexp(1.0F, rules.limit_exponent)) {
        ++saturated;
        return fp16{static_cast<std::uint16_t>(sum < 0 ? 0xFC00 : 0x7C00)};
    }
    return sum == 0 ? fp16{0} : result;
}

}  // namespace pome::kernels
