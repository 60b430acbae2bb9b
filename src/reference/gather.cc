#include <algorithm>

#include "reference/ops.h"

namespace pome::reference {
namespace {

/// The product of the sizes of axes [first, last).
std::int64_t product(const Shape& shape, int first, int last) {
    std::int64_t result = 1;
    for (int axis = first; axis < last; ++axis) {
        result *= shape[axis];
    }
    return result;
}

}  // namespace

Tensor gather(const Tensor& x, const Tensor& indices, int axis, int batch_dims,
              const Shape& result) {
    Tensor y(result);
    const std::int64_t batches = product(x.shape, 0, batch_dims),
                       outer = product(x.shape, batch_dims, axis);
    const std::int64_t count = x.shape[axis], inner = product(x.shape, axis + 1, x.shape.rank());
    const std::int64_t picked = product(indices.shape, batch_dims, indices.shape.rank());
    auto out = y.data.begin();
    for (std::int64_t b = 0; b < batches; ++b) {
        for (std::int64_t o = 0; o < outer; ++o) {
            for (std::int64_t i = 0; i < picked; ++i) {
                const auto index = static_cast<std::int64_t>(
                    indices.data[static_cast<std::size_t>(b * picked + i)]);
                const std::int64_t row =
                    (b * outer + o) * count + (index < 0 ? index + count : index);
                out = std::copy_n(x.data.begin() + row * inner, inner, out);
            }
        }
    }
    return y;
}

}  // namespace pome::reference
