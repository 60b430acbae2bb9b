#include <cmath>

#include "reference/pool.h"

namespace pome::reference {

Tensor l2_pool(const Tensor& x, const std::vector<std::int64_t>& kernel, const Window& window,
               const Shape& result) {
    const Spatial sizes = spatial(x.shape);
    return pool(x, kernel, window, result, [&](const double* plane, const PoolWindow& at) {
        return std::sqrt(over(plane, sizes, at, 0.0,
                              [](double total, double value) { return total + value * value; }));
    });
}

}  // namespace pome::reference
