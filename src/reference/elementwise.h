#pragma once

#include <cstdint>
#include <vector>

#include "reference/tensor.h"

namespace pome::reference {

/// Where the rows (runs along the last axis) of an operand start when it is broadcast to a result,
/// in the order of the result's rows, and the step within a row: 0 where the operand has one
/// element for the whole row.
struct Rows {
    std::vector<std::int64_t> starts;
    std::int64_t step = 0;
};
Rows rows(const Shape& operand, const Shape& result);

/// f(x) of every element.
template <typename F>
Tensor unary(const Tensor& x, F f) {
    Tensor y(x.shape);
    for (std::size_t i = 0; i < x.data.size(); ++i) {
        y.data[i] = f(x.data[i]);
    }
    return y;
}

/// f(x, y) with NumPy broadcasting.
template <typename F>
Tensor binary(const Tensor& x, const Tensor& y, F f) {
    Shape shape;
    broadcast(x.shape, y.shape, shape);
    Tensor result(shape);
    const Rows from_x = rows(x.shape, shape), from_y = rows(y.shape, shape);
    const std::int64_t length = shape.rank() == 0 ? 1 : shape[-1];
    double* out = result.data.data();
    for (std::size_t row = 0; row < from_x.starts.size(); ++row) {
        const double* xs = x.data.data() + from_x.starts[row];
        const double* ys = y.data.data() + from_y.starts[row];
        for (std::int64_t i = 0; i < length; ++i) {
            *out++ = f(xs[i * from_x.step], ys[i * from_y.step]);
        }
    }
    return result;
}

}  // namespace pome::reference
