#include <algorithm>
#include <limits>

#include "reference/fold.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_min(const Tensor& x, const std::vector<int>& axes) {
    return fold(x, axes, std::numeric_limits<double>::infinity(),
                [](double smallest, double v) { return std::min(smallest, v); });
}

}  // namespace pome::reference
