#include "reference/fold.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_sum_square(const Tensor& x, const std::vector<int>& axes) {
    return fold(x, axes, 0.0, [](double total, double v) { return total + v * v; });
}

}  // namespace pome::reference
