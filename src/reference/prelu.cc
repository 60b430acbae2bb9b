#include "reference/normalize.h"

namespace pome::reference {

Tensor prelu(const Tensor& x, const Tensor& alpha) {
    return binary(x, at_axes(alpha, {1}, x.shape.rank()), leaky_relu);
}

}  // namespace pome::reference
