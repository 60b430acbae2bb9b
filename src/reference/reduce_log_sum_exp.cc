#include <cmath>

#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_log_sum_exp(const Tensor& x, const std::vector<int>& axes) {
    const Tensor m = reduce_max(x, axes);
    // Where m is infinite, x - m would be NaN; exp(x) itself gives 0 or infinity there.
    const Tensor finite = unary(m, [](double v) { return std::isinf(v) ? 0.0 : v; });
    const Tensor powers =
        binary(x, finite, [](double v, double largest) { return std::exp(v - largest); });
    return binary(reduce_sum(powers, axes), finite,
                  [](double total, double v) { return std::log(total) + v; });
}

}  // namespace pome::reference
