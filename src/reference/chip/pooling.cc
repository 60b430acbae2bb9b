#include "reference/chip/pooling.h"

#include <cmath>
#include <vector>

#include "reference/chip/elementwise.h"
#include "reference/chip/multiply_accumulate.h"
#include "reference/chip/tables.h"

namespace pome::reference::chip {
namespace {

constexpr fp16 one{0x3C00};
constexpr fp16 minus_infinity{0xFC00};

}  // namespace

fp16 max_pool(std::span<const fp16> window, const Numerics& numerics) {
    fp16 largest = minus_infinity;
    for (const fp16 value : window) {
        largest = maximum(largest, value, numerics.elementwise);
    }
    return largest;
}

fp16 avg_pool(std::span<const fp16> window, std::int64_t count, const Numerics& numerics) {
    const float factor = 1.0F / static_cast<float>(count);
    const auto& rules = numerics.multiply_accumulate;
    const std::vector<fp16> ones(window.size(), one);
    double sum = 0.0;
    if (rules.fixed_point) {
        const auto exact = fixed_point_sum(window, ones, 0.0F, rules);
        if (!exact.finite) {
            return fp16{static_cast<std::uint16_t>(exact.sum < 0.0 ? 0xFC00 : 0x7C00)};
        }
        sum = exact.sum;
    } else {
        float total = 0.0F;
        for (const fp16 value : window) {
            total += to_float(value);
        }
        sum = total;
    }
    return store(static_cast<double>(static_cast<float>(sum) * factor), numerics.elementwise);
}

fp16 l2_pool(std::span<const fp16> window, const Numerics& numerics) {
    return evaluate(Function::sqrt,
                    multiply_accumulate(window, window, 0.0F, numerics.multiply_accumulate),
                    numerics);
}

}  // namespace pome::reference::chip
