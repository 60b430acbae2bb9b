#include "reference/pool.h"

namespace pome::reference {

Tensor avg_pool(const Tensor& x, const std::vector<std::int64_t>& kernel, const Window& window,
                bool exclude_padding, const Shape& result) {
    const Spatial sizes = spatial(x.shape);
    return pool(x, kernel, window, result, [&](const double* plane, const PoolWindow& at) {
        const Spatial own{at.last[0] - at.first[0], at.last[1] - at.first[1],
                          at.last[2] - at.first[2]};
        const std::int64_t count = exclude_padding ? volume(own) : at.padded_positions;
        return over(plane, sizes, at, 0.0, add) / static_cast<double>(count);
    });
}

}  // namespace pome::reference
