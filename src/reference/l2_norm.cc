#include "reference/ops.h"

namespace pome::reference {

Tensor l2_norm(const Tensor& x, double epsilon) {
    const int rank = x.shape.rank();
    const Tensor sum = reduce_sum_square(x, {rank - 3, rank - 2, rank - 1});
    return binary(x, sum, [epsilon](double v, double total) { return v * rsqrt(total, epsilon); });
}

}  // namespace pome::reference
