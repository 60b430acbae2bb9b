#include "reference/ops.h"
#include "reference/walk.h"

namespace pome::reference {

Tensor slice(const Tensor& x, const std::vector<std::int64_t>& begin,
             const std::vector<std::int64_t>& stride, const Shape& size) {
    Tensor y(size);
    const auto own = x.shape.strides();
    auto strides = own;
    for (std::size_t i = 0; i < strides.size(); ++i) {
        strides[i] *= stride[i];
    }
    walk(size.sizes(), strides, y.shape.strides(), offset_of(begin, own), 0,
         [&](std::size_t from, std::size_t to) { y.data[to] = x.data[from]; });
    return y;
}

}  // namespace pome::reference
