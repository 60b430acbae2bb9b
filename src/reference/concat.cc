#include "reference/ops.h"
#include "reference/walk.h"

namespace pome::reference {

Tensor concat(const std::vector<const Tensor*>& values, int axis, bool interleave,
              const Shape& result) {
    Tensor y(result);
    const auto own = y.shape.strides();
    const std::int64_t step = own[static_cast<std::size_t>(axis)];
    auto strides = own;
    if (interleave) {
        strides[static_cast<std::size_t>(axis)] = step * static_cast<std::int64_t>(values.size());
    }
    std::int64_t at = 0;  // index along the axis of the value's first element
    for (const Tensor* value : values) {
        walk(value->shape.sizes(), value->shape.strides(), strides, 0, at * step,
             [&](std::size_t from, std::size_t to) { y.data[to] = value->data[from]; });
        at += interleave ? 1 : value->shape[axis];
    }
    return y;
}

}  // namespace pome::reference
