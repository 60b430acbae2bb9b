#include <algorithm>

#include "reference/ops.h"

namespace pome::reference {

Tensor reduce(const Tensor& x, const std::vector<int>& axes, double start,
              const std::function<double(double, double)>& f,
              const std::function<double(double, std::int64_t)>& finish) {
    auto sizes = x.shape.sizes();
    std::int64_t count = 1;
    for (const int axis : axes) {
        count *= sizes[static_cast<std::size_t>(axis)];
        sizes[static_cast<std::size_t>(axis)] = 1;
    }
    Tensor y(Shape(sizes), start);
    auto strides = y.shape.strides();
    for (const int axis : axes) {
        strides[static_cast<std::size_t>(axis)] = 0;
    }
    std::vector<std::int64_t> index(sizes.size(), 0);
    std::int64_t at = 0;
    for (const double value : x.data) {
        double& total = y.data[static_cast<std::size_t>(at)];
        total = f(total, value);
        for (int axis = x.shape.rank() - 1; axis >= 0; --axis) {
            const auto a = static_cast<std::size_t>(axis);
            at += strides[a];
            if (++index[a] < x.shape[axis]) {
                break;
            }
            at -= strides[a] * x.shape[axis];
            index[a] = 0;
        }
    }
    for (double& total : y.data) {
        total = finish(total, count);
    }
    return y;
}

}  // namespace pome::reference
