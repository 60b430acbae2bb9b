#include "reference/along.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor cumsum(const Tensor& x, int axis, bool exclusive, bool reverse) {
    Tensor y(x.shape);
    along(x.shape, axis, [&](std::int64_t start, std::int64_t step, std::int64_t count) {
        double total = 0.0;
        for (std::int64_t k = 0; k < count; ++k) {
            const auto at = static_cast<std::size_t>(start + (reverse ? count - 1 - k : k) * step);
            if (exclusive) {
                y.data[at] = total;
            }
            total += x.data[at];
            if (!exclusive) {
                y.data[at] = total;
            }
        }
    });
    return y;
}

}  // namespace pome::reference
