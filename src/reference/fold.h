#pragma once

#include <vector>

#include "reference/tensor.h"
#include "reference/walk.h"

namespace pome::reference {

/// total = f(total, x) over the elements along `axes`, from `start`, in row-major order. The axes
/// keep size 1.
template <typename F>
Tensor fold(const Tensor& x, const std::vector<int>& axes, double start, F f) {
    Shape kept = x.shape;
    for (const int axis : axes) {
        kept[axis] = 1;
    }
    Tensor y(kept, start);
    auto strides = kept.strides();
    for (const int axis : axes) {
        strides[static_cast<std::size_t>(axis)] = 0;
    }
    walk(x.shape.sizes(), x.shape.strides(), strides, 0, 0,
         [&](std::size_t from, std::size_t to) { y.data[to] = f(y.data[to], x.data[from]); });
    return y;
}

/// How many elements of x make one element along `axes`.
inline double count_along(const Tensor& x, const std::vector<int>& axes) {
    double count = 1.0;
    for (const int axis : axes) {
        count *= static_cast<double>(x.shape[axis]);
    }
    return count;
}

}  // namespace pome::reference
