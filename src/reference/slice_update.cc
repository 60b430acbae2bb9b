#include "reference/ops.h"
#include "reference/walk.h"

namespace pome::reference {

Tensor slice_update(const Tensor& x, const Tensor& update, const std::vector<std::int64_t>& begin,
                    const std::vector<std::int64_t>& stride, const Shape& size) {
    Tensor y = x;
    const auto own = x.shape.strides();
    auto strides = own;
    for (std::size_t i = 0; i < strides.size(); ++i) {
        strides[i] *= stride[i];
    }
    walk(size.sizes(), strides, size.strides(), offset_of(begin, own), 0,
         [&](std::size_t to, std::size_t from) { y.data[to] = update.data[from]; });
    return y;
}

}  // namespace pome::reference
