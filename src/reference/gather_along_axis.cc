#include "reference/along.h"
#include "reference/ops.h"

namespace pome::reference {

Tensor gather_along_axis(const Tensor& x, const Tensor& indices, int axis) {
    Tensor y(indices.shape);
    std::vector<std::int64_t> lines;  // where the lines of x start
    along(x.shape, axis,
          [&](std::int64_t start, std::int64_t, std::int64_t) { lines.push_back(start); });
    auto line = lines.begin();
    along(indices.shape, axis, [&](std::int64_t start, std::int64_t step, std::int64_t count) {
        for (std::int64_t k = 0; k < count; ++k) {
            const auto at = static_cast<std::size_t>(start + k * step);
            const auto index = static_cast<std::int64_t>(indices.data[at]);
            const std::int64_t wrapped = index < 0 ? index + x.shape[axis] : index;
            y.data[at] = x.data[static_cast<std::size_t>(*line + wrapped * step)];
        }
        ++line;
    });
    return y;
}

}  // namespace pome::reference
