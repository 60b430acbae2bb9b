#include "reference/fold.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_mean(const Tensor& x, const std::vector<int>& axes) {
    const double count = count_along(x, axes);
    return unary(reduce_sum(x, axes), [count](double total) { return total / count; });
}

}  // namespace pome::reference
