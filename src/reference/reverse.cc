#include <algorithm>

#include "reference/ops.h"

namespace pome::reference {

Tensor reverse(const Tensor& x, const std::vector<int>& axes) {
    std::vector<std::int64_t> begin, stride;
    for (int axis = 0; axis < x.shape.rank(); ++axis) {
        const bool turned = std::find(axes.begin(), axes.end(), axis) != axes.end();
        begin.push_back(turned ? x.shape[axis] - 1 : 0);
        stride.push_back(turned ? -1 : 1);
    }
    return slice(x, begin, stride, x.shape);
}

}  // namespace pome::reference
