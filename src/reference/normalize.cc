#include "reference/normalize.h"

namespace pome::reference {

Tensor normalize(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor* gamma,
                 const Tensor* beta, double epsilon) {
    const Tensor inverse_deviation =
        unary(variance, [epsilon](double v) { return rsqrt(v, epsilon); });
    Tensor y = binary(binary(x, mean, sub), inverse_deviation, mul);
    if (gamma != nullptr) {
        y = binary(y, *gamma, mul);
    }
    if (beta != nullptr) {
        y = binary(y, *beta, add);
    }
    return y;
}

Tensor normalize_along(const Tensor& x, const std::vector<int>& axes, const Tensor* gamma,
                       const Tensor* beta, double epsilon) {
    const Tensor mean = reduce_mean(x, axes);
    const Tensor variance = reduce_mean(unary(binary(x, mean, sub), square), axes);
    return normalize(x, mean, variance, gamma, beta, epsilon);
}

Tensor at_axes(const Tensor& parameter, const std::vector<int>& axes, int rank) {
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(rank), 1));
    for (std::size_t i = 0; i < axes.size(); ++i) {
        shape[axes[i]] = parameter.shape[static_cast<int>(i)];
    }
    return Tensor(shape, parameter.data);
}

}  // namespace pome::reference
