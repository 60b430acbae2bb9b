#include <optional>

#include "reference/normalize.h"

namespace pome::reference {

Tensor instance_norm(const Tensor& x, const Tensor* gamma, const Tensor* beta, double epsilon) {
    std::vector<int> spatial_axes;
    for (int axis = 2; axis < x.shape.rank(); ++axis) {
        spatial_axes.push_back(axis);
    }
    std::optional<Tensor> g, b;
    if (gamma != nullptr) {
        g = at_axes(*gamma, {1}, x.shape.rank());
    }
    if (beta != nullptr) {
        b = at_axes(*beta, {1}, x.shape.rank());
    }
    return normalize_along(x, spatial_axes, g ? &*g : nullptr, b ? &*b : nullptr, epsilon);
}

}  // namespace pome::reference
