#include "reference/ops.h"

namespace pome::reference {

Tensor blockwise_shift_scale(const Tensor& data, const Tensor& scale, const Tensor* offset) {
    Tensor y(data.shape);
    const auto strides = scale.shape.strides();
    for (std::int64_t i = 0; i < y.size(); ++i) {
        std::int64_t rest = i, block = 0;
        for (int axis = data.shape.rank() - 1; axis >= 0; --axis) {
            const std::int64_t length = data.shape[axis] / scale.shape[axis];  // of a block
            block += rest % data.shape[axis] / length * strides[static_cast<std::size_t>(axis)];
            rest /= data.shape[axis];
        }
        const auto at = static_cast<std::size_t>(i), b = static_cast<std::size_t>(block);
        y.data[at] = scale.data[b] * (data.data[at] - (offset != nullptr ? offset->data[b] : 0.0));
    }
    return y;
}

}  // namespace pome::reference
