#include "reference/ops.h"
#include "reference/walk.h"

namespace pome::reference {

Tensor transpose(const Tensor& x, const std::vector<int>& perm) {
    std::vector<std::int64_t> sizes, strides;
    const auto own = x.shape.strides();
    for (const int axis : perm) {
        sizes.push_back(x.shape[axis]);
        strides.push_back(own[static_cast<std::size_t>(axis)]);
    }
    Tensor y{Shape(sizes)};
    walk(sizes, strides, y.shape.strides(), 0, 0,
         [&](std::size_t from, std::size_t to) { y.data[to] = x.data[from]; });
    return y;
}

}  // namespace pome::reference
