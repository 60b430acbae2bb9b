#include "reference/ops.h"
#include "reference/quantization.h"

namespace pome::reference {

Tensor dequantize(const Tensor& q, const Tensor& scale, const Tensor* zero_point, int axis) {
    Tensor y = q;
    if (zero_point != nullptr) {
        y = binary(y, along_axis(*zero_point, q, axis), sub);
    }
    return binary(y, along_axis(scale, q, axis), mul);
}

}  // namespace pome::reference
