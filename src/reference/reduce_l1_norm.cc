#include <cmath>

#include "reference/fold.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_l1_norm(const Tensor& x, const std::vector<int>& axes) {
    return fold(x, axes, 0.0, [](double total, double v) { return total + std::fabs(v); });
}

}  // namespace pome::reference
