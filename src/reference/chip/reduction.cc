#include "reference/chip/reduction.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pome::reference::chip {
namespace {

double operand(fp16 x) {
    return is_nan(x) ? std::numeric_limits<double>::infinity() : static_cast<double>(to_float(x));
}

/// a + b with both cut to multiples of the unit that the larger one has at `bits` fraction bits.
double aligned_sum(double a, double b, int bits) {
    const double larger = std::max(std::fabs(a), std::fabs(b));
    if (larger == 0.0 || !std::isfinite(larger)) {
        return a + b;
    }
    const double unit = std::ldexp(1.0, std::ilogb(larger) - bits);
    return std::trunc(a / unit) * unit + std::trunc(b / unit) * unit;
}

fp16 finish(double sum, const Numerics::Reduction& rules) {
    if (std::isnan(sum) || sum == 0.0) {
        return fp16{0};
    }
    return to_fp16(sum, rules.output);
}

}  // namespace

double tiled_sum(std::span<const fp16> x, const Numerics::Reduction& rules) {
    double sum = 0.0;
    if (!rules.narrow) {
        for (const fp16 value : x) {
            sum += operand(value);
        }
        return sum;
    }
    const auto tile = static_cast<std::size_t>(rules.tile);
    for (std::size_t start = 0; start < x.size(); start += tile) {
        double part = operand(x[start]);
        for (std::size_t i = start + 1; i < std::min(start + tile, x.size()); ++i) {
            part = aligned_sum(part, operand(x[i]), rules.tile_fraction_bits);
        }
        sum += part;
    }
    return sum;
}

fp16 reduce_sum(std::span<const fp16> x, const Numerics::Reduction& rules) {
    return finish(tiled_sum(x, rules), rules);
}

fp16 reduce_mean(std::span<const fp16> x, const Numerics::Reduction& rules) {
    const float factor = 1.0F / static_cast<float>(x.size());
    return finish(static_cast<double>(static_cast<float>(tiled_sum(x, rules)) * factor), rules);
}

}  // namespace pome::reference::chip
