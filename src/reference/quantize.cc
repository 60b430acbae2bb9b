#include <algorithm>
#include <cmath>

#include "reference/ops.h"
#include "reference/quantization.h"

namespace pome::reference {

// nearbyint rounds halves to even in the default rounding mode.
Tensor quantize(const Tensor& x, const Tensor& scale, const Tensor* zero_point, int axis,
                double low, double high) {
    Tensor q = unary(binary(x, along_axis(scale, x, axis), real_div),
                     [](double v) { return std::nearbyint(v); });
    if (zero_point != nullptr) {
        q = binary(q, along_axis(*zero_point, x, axis), add);
    }
    return unary(q, [=](double v) { return std::clamp(v, low, high); });
}

}  // namespace pome::reference
