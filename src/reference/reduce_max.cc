#include <algorithm>
#include <limits>

#include "reference/fold.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_max(const Tensor& x, const std::vector<int>& axes) {
    return fold(x, axes, -std::numeric_limits<double>::infinity(),
                [](double largest, double v) { return std::max(largest, v); });
}

}  // namespace pome::reference
