#include "reference/ops.h"
#include "reference/walk.h"

namespace pome::reference {
namespace {

/// y(index) = x(pick(index - before, size)), axis by axis.
template <typename Pick>
Tensor pad_from_itself(const Tensor& x, const std::vector<std::int64_t>& before,
                       const Shape& result, Pick pick) {
    Tensor y(result);
    const auto strides = x.shape.strides();
    for (std::int64_t i = 0; i < y.size(); ++i) {
        std::int64_t rest = i, from = 0;
        for (int axis = result.rank() - 1; axis >= 0; --axis) {
            const auto a = static_cast<std::size_t>(axis);
            from += pick(rest % result[axis] - before[a], x.shape[axis]) * strides[a];
            rest /= result[axis];
        }
        y.data[static_cast<std::size_t>(i)] = x.data[static_cast<std::size_t>(from)];
    }
    return y;
}

}  // namespace

Tensor pad(const Tensor& x, const std::vector<std::int64_t>& before, const Shape& result,
           double value) {
    Tensor y(result, value);
    const auto strides = y.shape.strides();
    walk(x.shape.sizes(), x.shape.strides(), strides, 0, offset_of(before, strides),
         [&](std::size_t from, std::size_t to) { y.data[to] = x.data[from]; });
    return y;
}

Tensor pad_reflect(const Tensor& x, const std::vector<std::int64_t>& before, const Shape& result) {
    return pad_from_itself(x, before, result, [](std::int64_t i, std::int64_t size) {
        return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
    });
}

Tensor pad_replicate(const Tensor& x, const std::vector<std::int64_t>& before,
                     const Shape& result) {
    return pad_from_itself(x, before, result, [](std::int64_t i, std::int64_t size) {
        return i < 0 ? 0 : i >= size ? size - 1 : i;
    });
}

}  // namespace pome::reference
