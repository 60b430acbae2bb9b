#pragma once

#include "reference/ops.h"

namespace pome::reference {

/// (x - mean) / sqrt(variance + epsilon) gamma + beta, everything broadcast to x; gamma and beta
/// may be nullptr.
Tensor normalize(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor* gamma,
                 const Tensor* beta, double epsilon);
/// The same with mean and variance of x along `axes`.
Tensor normalize_along(const Tensor& x, const std::vector<int>& axes, const Tensor* gamma,
                       const Tensor* beta, double epsilon);
/// A parameter's elements under the shape that broadcasts to x: its own sizes at `axes`, 1
/// elsewhere.
Tensor at_axes(const Tensor& parameter, const std::vector<int>& axes, int rank);

}  // namespace pome::reference
