#include "reference/chip/quantization.h"

#include <algorithm>
#include <cmath>

#include "reference/chip/elementwise.h"

namespace pome::reference::chip {

fp16 dequantize(fp16 q, fp16 scale, fp16 zero_point, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    return store(load(scale, rules) * (load(q, rules) - load(zero_point, rules)), rules);
}

fp16 quantize(fp16 x, fp16 scale, fp16 zero_point, float low, float high,
              const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    const double shifted = load(round(real_div(x, scale, rules), rules), rules) +
                           static_cast<double>(to_float(zero_point));
    if (std::isnan(shifted)) {  // only where NaN is kept
        return fp16{0};
    }
    return store(std::clamp(shifted, static_cast<double>(low), static_cast<double>(high)), rules);
}

fp16 integer_product(std::span<const std::int32_t> x, std::span<const std::int32_t> w, double scale,
                     const Numerics& numerics) {
    constexpr std::int64_t limit = std::int64_t{1} << 31;
    std::int64_t sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
        sum += static_cast<std::int64_t>(x[k]) * w[k];
        if (sum >= limit || sum <= -limit) {
            return fp16{static_cast<std::uint16_t>((sum < 0) != (scale < 0.0) ? 0xFC00 : 0x7C00)};
        }
    }
    return store(static_cast<double>(sum) * scale, numerics.elementwise);
}

fp16 scaled_sum(fp16 sum, fp16 scale, const Numerics& numerics) {
    return mul(sum, scale, numerics.elementwise);
}

}  // namespace pome::reference::chip
