#include <cmath>
#include <numbers>

#include "reference/ops.h"

namespace pome::reference {
namespace {

/// Strides of `shape` seen as `result`, 0 along broadcast axes.
std::vector<std::int64_t> seen_as(const Shape& shape, const Shape& result) {
    std::vector<std::int64_t> strides(static_cast<std::size_t>(result.rank()), 0);
    const auto own = shape.strides();
    for (int axis = 0; axis < shape.rank(); ++axis) {
        if (shape[axis] != 1) {
            strides[static_cast<std::size_t>(result.rank() - shape.rank() + axis)] =
                own[static_cast<std::size_t>(axis)];
        }
    }
    return strides;
}

}  // namespace

Tensor binary(const Tensor& x, const Tensor& y, const std::function<double(double, double)>& f) {
    Shape shape;
    broadcast(x.shape, y.shape, shape);
    Tensor result(shape);
    const auto xs = seen_as(x.shape, shape), ys = seen_as(y.shape, shape);
    std::vector<std::int64_t> index(static_cast<std::size_t>(shape.rank()), 0);
    std::int64_t at_x = 0, at_y = 0;
    for (double& value : result.data) {
        value = f(x.data[static_cast<std::size_t>(at_x)], y.data[static_cast<std::size_t>(at_y)]);
        for (int axis = shape.rank() - 1; axis >= 0; --axis) {  // the next index, odometer fashion
            const auto a = static_cast<std::size_t>(axis);
            at_x += xs[a];
            at_y += ys[a];
            if (++index[a] < shape[axis]) {
                break;
            }
            at_x -= xs[a] * shape[axis];
            at_y -= ys[a] * shape[axis];
            index[a] = 0;
        }
    }
    return result;
}

Tensor unary(const Tensor& x, const std::function<double(double)>& f) {
    Tensor y(x.shape);
    for (std::size_t i = 0; i < x.data.size(); ++i) {
        y.data[i] = f(x.data[i]);
    }
    return y;
}

double sigmoid(double x) {
    return 1.0 / (1.0 + std::exp(-x));
}
double gelu(double x) {
    return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
}
double gelu_tanh(double x) {
    return 0.5 * x *
           (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}
double softplus(double x) {
    return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
}
double round_half_away(double x) {
    return std::round(x);
}

}  // namespace pome::reference
