#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_l2_norm(const Tensor& x, const std::vector<int>& axes) {
    return unary(reduce_sum_square(x, axes), sqrt);
}

}  // namespace pome::reference
