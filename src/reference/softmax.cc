#include <algorithm>
#include <cmath>

#include "reference/ops.h"

namespace pome::reference {

Tensor softmax(const Tensor& x, int axis) {
    Tensor y(x.shape);
    const std::int64_t count = x.shape[axis],
                       inner = x.shape.strides()[static_cast<std::size_t>(axis)];
    const std::int64_t outer = x.size() / std::max<std::int64_t>(1, count * inner);
    for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t i = 0; i < inner; ++i) {
            const double* in = x.data.data() + o * count * inner + i;
            double* out = y.data.data() + o * count * inner + i;
            double m = in[0];
            for (std::int64_t k = 1; k < count; ++k) {
                m = std::max(m, in[k * inner]);
            }
            double sum = 0.0;
            for (std::int64_t k = 0; k < count; ++k) {
                sum += out[k * inner] = std::exp(in[k * inner] - m);
            }
            for (std::int64_t k = 0; k < count; ++k) {
                out[k * inner] /= sum;
            }
        }
    }
    return y;
}

}  // namespace pome::reference
