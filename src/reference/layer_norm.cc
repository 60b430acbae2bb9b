#include <optional>

#include "reference/normalize.h"

namespace pome::reference {

Tensor layer_norm(const Tensor& x, const std::vector<int>& axes, const Tensor* gamma,
                  const Tensor* beta, double epsilon) {
    std::optional<Tensor> g, b;
    if (gamma != nullptr) {
        g = at_axes(*gamma, axes, x.shape.rank());
    }
    if (beta != nullptr) {
        b = at_axes(*beta, axes, x.shape.rank());
    }
    return normalize_along(x, axes, g ? &*g : nullptr, b ? &*b : nullptr, epsilon);
}

}  // namespace pome::reference
