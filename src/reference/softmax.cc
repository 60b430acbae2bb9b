#include <algorithm>
#include <cmath>

#include "reference/along.h"
#include "reference/ops.h"

namespace pome::reference {

// Subtracting m leaves the quotient as it is and keeps exp finite.
Tensor softmax(const Tensor& x, int axis) {
    Tensor y(x.shape);
    along(x.shape, axis, [&](std::int64_t start, std::int64_t step, std::int64_t count) {
        const double* in = x.data.data() + start;
        double* out = y.data.data() + start;
        double m = in[0];
        for (std::int64_t k = 1; k < count; ++k) {
            m = std::max(m, in[k * step]);
        }
        double sum = 0.0;
        for (std::int64_t k = 0; k < count; ++k) {
            sum += out[k * step] = std::exp(in[k * step] - m);
        }
        for (std::int64_t k = 0; k < count; ++k) {
            out[k * step] /= sum;
        }
    });
    return y;
}

}  // namespace pome::reference
