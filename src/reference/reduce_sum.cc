#include "reference/fold.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_sum(const Tensor& x, const std::vector<int>& axes) {
    return fold(x, axes, 0.0, [](double total, double v) { return total + v; });
}

}  // namespace pome::reference
