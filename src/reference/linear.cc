#include "reference/ops.h"

namespace pome::reference {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor* bias) {
    auto sizes = x.shape.sizes();
    sizes.back() = weight.shape[0];
    const std::int64_t inner = x.shape[-1];
    std::int64_t count = 1;  // rows of x; x may have no elements
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
        count *= sizes[i];
    }
    Tensor y = matmul(Tensor(Shape{count, inner}, x.data), weight, false, true);
    if (bias != nullptr) {
        y = binary(y, *bias, add);
    }
    y.shape = Shape(sizes);
    return y;
}

}  // namespace pome::reference
