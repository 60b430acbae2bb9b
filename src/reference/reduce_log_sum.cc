#include <cmath>

#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_log_sum(const Tensor& x, const std::vector<int>& axes) {
    return unary(reduce_sum(x, axes), [](double total) { return std::log(total); });
}

}  // namespace pome::reference
