#include "reference/ops.h"

namespace pome::reference {

Tensor tile(const Tensor& x, const Shape& result) {
    Tensor y(result);
    const auto strides = x.shape.strides();
    for (std::int64_t i = 0; i < y.size(); ++i) {
        std::int64_t rest = i, from = 0;
        for (int axis = result.rank() - 1; axis >= 0; --axis) {
            from += rest % result[axis] % x.shape[axis] * strides[static_cast<std::size_t>(axis)];
            rest /= result[axis];
        }
        y.data[static_cast<std::size_t>(i)] = x.data[static_cast<std::size_t>(from)];
    }
    return y;
}

}  // namespace pome::reference
