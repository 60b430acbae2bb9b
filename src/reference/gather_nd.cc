#include <algorithm>

#include "reference/ops.h"

namespace pome::reference {

Tensor gather_nd(const Tensor& x, const Tensor& indices, int batch_dims, const Shape& result) {
    Tensor y(result);
    const auto strides = x.shape.strides();
    const int depth = static_cast<int>(indices.shape[-1]);
    std::int64_t batches = 1, inner = 1;
    for (int axis = 0; axis < batch_dims; ++axis) {
        batches *= x.shape[axis];
    }
    for (int axis = batch_dims + depth; axis < x.shape.rank(); ++axis) {
        inner *= x.shape[axis];
    }
    const std::int64_t own = x.size() / std::max<std::int64_t>(1, batches);
    const std::int64_t rows = indices.size() / std::max(1, depth);
    auto out = y.data.begin();
    for (std::int64_t row = 0; row < rows; ++row) {
        std::int64_t at = row / std::max<std::int64_t>(1, rows / batches) * own;
        for (int i = 0; i < depth; ++i) {
            const int axis = batch_dims + i;
            const auto index =
                static_cast<std::int64_t>(indices.data[static_cast<std::size_t>(row * depth + i)]);
            at += (index < 0 ? index + x.shape[axis] : index) *
                  strides[static_cast<std::size_t>(axis)];
        }
        out = std::copy_n(x.data.begin() + at, inner, out);
    }
    return y;
}

}  // namespace pome::reference
