#include "reference/fold.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_prod(const Tensor& x, const std::vector<int>& axes) {
    return fold(x, axes, 1.0, [](double product, double v) { return product * v; });
}

}  // namespace pome::reference
