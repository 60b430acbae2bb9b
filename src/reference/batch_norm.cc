#include <optional>

#include "reference/normalize.h"

namespace pome::reference {

Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor* gamma,
                  const Tensor* beta, double epsilon) {
    const int rank = x.shape.rank();
    std::optional<Tensor> g, b;
    if (gamma != nullptr) {
        g = at_axes(*gamma, {1}, rank);
    }
    if (beta != nullptr) {
        b = at_axes(*beta, {1}, rank);
    }
    return normalize(x, at_axes(mean, {1}, rank), at_axes(variance, {1}, rank), g ? &*g : nullptr,
                     b ? &*b : nullptr, epsilon);
}

}  // namespace pome::reference
