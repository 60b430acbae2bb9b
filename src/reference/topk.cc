#include <algorithm>
#include <numeric>

#include "reference/along.h"
#include "reference/ops.h"

namespace pome::reference {

TopK topk(const Tensor& x, std::int64_t k, int axis, bool ascending) {
    Shape shape = x.shape;
    shape[axis] = k;
    TopK result{Tensor(shape), Tensor(shape)};
    std::vector<std::int64_t> order(static_cast<std::size_t>(x.shape[axis]));
    std::vector<std::int64_t> targets;  // where the lines of the result start
    along(shape, axis,
          [&](std::int64_t start, std::int64_t, std::int64_t) { targets.push_back(start); });
    auto target = targets.begin();
    along(x.shape, axis, [&](std::int64_t start, std::int64_t step, std::int64_t) {
        if (target == targets.end()) {
            return;
        }  // k is 0
        const auto value = [&](std::int64_t i) {
            return x.data[static_cast<std::size_t>(start + i * step)];
        };
        std::iota(order.begin(), order.end(), std::int64_t{0});
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
            return ascending ? value(a) < value(b) : value(a) > value(b);
        });
        for (std::int64_t i = 0; i < k; ++i) {
            const auto at = static_cast<std::size_t>(*target + i * step);
            result.values.data[at] = value(order[static_cast<std::size_t>(i)]);
            result.indices.data[at] = static_cast<double>(order[static_cast<std::size_t>(i)]);
        }
        ++target;
    });
    return result;
}

}  // namespace pome::reference
