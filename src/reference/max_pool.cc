#include <limits>

#include "reference/pool.h"

namespace pome::reference {

Tensor max_pool(const Tensor& x, const std::vector<std::int64_t>& kernel, const Window& window,
                const Shape& result) {
    const Spatial sizes = spatial(x.shape);
    return pool(x, kernel, window, result, [&](const double* plane, const PoolWindow& at) {
        return over(plane, sizes, at, -std::numeric_limits<double>::infinity(), maximum);
    });
}

}  // namespace pome::reference
