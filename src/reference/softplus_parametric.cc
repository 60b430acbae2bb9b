#include "reference/normalize.h"

namespace pome::reference {

Tensor softplus_parametric(const Tensor& x, const Tensor& alpha, const Tensor& beta) {
    const int rank = x.shape.rank();
    const Tensor inner = binary(x, at_axes(beta, {1}, rank), mul);
    return binary(unary(inner, softplus), at_axes(alpha, {1}, rank), mul);
}

}  // namespace pome::reference
