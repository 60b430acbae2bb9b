#include "reference/along.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor reduce_argmax(const Tensor& x, int axis) {
    Shape kept = x.shape;
    kept[axis] = 1;
    Tensor y(kept);
    auto out = y.data.begin();
    along(x.shape, axis, [&](std::int64_t start, std::int64_t step, std::int64_t count) {
        std::int64_t best = 0;
        for (std::int64_t k = 1; k < count; ++k) {
            if (x.data[static_cast<std::size_t>(start + k * step)] >
                x.data[static_cast<std::size_t>(start + best * step)]) {
                best = k;
            }
        }
        *out++ = static_cast<double>(best);
    });
    return y;
}

}  // namespace pome::reference
