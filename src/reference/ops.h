#pragma once

// What each op means, in double precision: one op a file beside this, plain loops, never fast.
// Shapes were checked by the op's schema (src/mil/ops); nothing here reports errors.

#include <cstdint>
#include <functional>
#include <vector>

#include "reference/tensor.h"

namespace pome::reference {

/// y[.., m, n] = sum_k x[.., m, k] y[.., k, n]; leading axes broadcast; a transposed operand is
/// read with its last two axes swapped.
Tensor matmul(const Tensor& x, const Tensor& y, bool transpose_x, bool transpose_y);

struct ConvForm {
    std::vector<std::int64_t> strides{1, 1}, dilations{1, 1};
    std::int64_t pad_top = 0, pad_left = 0;  ///< zeros before the first row and column
    std::int64_t groups = 1;
};
/// x [N, C, H, W], weight [Co, C / groups, kH, kW], bias [Co] or empty; y has the shape `result`.
Tensor conv(const Tensor& x, const Tensor& weight, const Tensor* bias, const ConvForm& form,
            const Shape& result);

/// y = exp(x - m) / sum exp(x - m) along axis, m = max x.
Tensor softmax(const Tensor& x, int axis);

/// f(x, y) with NumPy broadcasting.
Tensor binary(const Tensor& x, const Tensor& y, const std::function<double(double, double)>& f);
/// f(x) of every element.
Tensor unary(const Tensor& x, const std::function<double(double)>& f);

/// Folds the elements along `axes` (any order) with f, from `start`; `finish(total, count)` makes
/// the result. The reduced axes keep size 1.
Tensor reduce(const Tensor& x, const std::vector<int>& axes, double start,
              const std::function<double(double, double)>& f,
              const std::function<double(double, std::int64_t)>& finish);

/// result axis i is x's axis perm[i].
Tensor transpose(const Tensor& x, const std::vector<int>& perm);
/// The box of `size` elements from `begin`.
Tensor slice(const Tensor& x, const std::vector<std::int64_t>& begin, const Shape& size);
Tensor concat(const std::vector<const Tensor*>& values, int axis, const Shape& result);
/// x surrounded by `value`; `before` names the elements added in front of each axis.
Tensor pad(const Tensor& x, const std::vector<std::int64_t>& before, const Shape& result,
           double value);
Tensor tile(const Tensor& x, const Shape& result);
/// Rows of x along `axis` by index: result shape is x's with the axis replaced by the indices'
/// shape.
Tensor gather(const Tensor& x, const Tensor& indices, int axis, const Shape& result);

double sigmoid(double x);
double gelu(double x);       ///< x Phi(x), exact by erf
double gelu_tanh(double x);  ///< the tanh approximation
double softplus(double x);
double round_half_away(double x);

}  // namespace pome::reference
