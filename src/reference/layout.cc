#include <algorithm>
#include <numeric>

#include "reference/ops.h"

namespace pome::reference {
namespace {

/// Visits every index of `sizes` in row-major order with two offsets that move by their own
/// strides.
template <typename Visit>
void walk(const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& a_strides,
          const std::vector<std::int64_t>& b_strides, std::int64_t a, std::int64_t b,
          std::size_t axis, Visit& visit) {
    if (axis == sizes.size()) {
        return visit(static_cast<std::size_t>(a), static_cast<std::size_t>(b));
    }
    for (std::int64_t i = 0; i < sizes[axis]; ++i) {
        walk(sizes, a_strides, b_strides, a + i * a_strides[axis], b + i * b_strides[axis],
             axis + 1, visit);
    }
}

std::int64_t offset_of(const std::vector<std::int64_t>& index,
                       const std::vector<std::int64_t>& strides) {
    return std::inner_product(index.begin(), index.end(), strides.begin(), std::int64_t{0});
}

}  // namespace

Tensor transpose(const Tensor& x, const std::vector<int>& perm) {
    std::vector<std::int64_t> sizes, strides;
    const auto own = x.shape.strides();
    for (const int axis : perm) {
        sizes.push_back(x.shape[axis]);
        strides.push_back(own[static_cast<std::size_t>(axis)]);
    }
    Tensor y{Shape(sizes)};
    auto visit = [&](std::size_t from, std::size_t to) { y.data[to] = x.data[from]; };
    walk(sizes, strides, y.shape.strides(), 0, 0, 0, visit);
    return y;
}

Tensor slice(const Tensor& x, const std::vector<std::int64_t>& begin, const Shape& size) {
    Tensor y(size);
    const auto strides = x.shape.strides();
    auto visit = [&](std::size_t from, std::size_t to) { y.data[to] = x.data[from]; };
    walk(size.sizes(), strides, y.shape.strides(), offset_of(begin, strides), 0, 0, visit);
    return y;
}

Tensor concat(const std::vector<const Tensor*>& values, int axis, const Shape& result) {
    Tensor y(result);
    const auto strides = y.shape.strides();
    std::int64_t at = 0;
    for (const Tensor* value : values) {
        auto visit = [&](std::size_t from, std::size_t to) { y.data[to] = value->data[from]; };
        walk(value->shape.sizes(), value->shape.strides(), strides, 0,
             at * strides[static_cast<std::size_t>(axis)], 0, visit);
        at += value->shape[axis];
    }
    return y;
}

Tensor pad(const Tensor& x, const std::vector<std::int64_t>& before, const Shape& result,
           double value) {
    Tensor y(result, value);
    const auto strides = y.shape.strides();
    auto visit = [&](std::size_t from, std::size_t to) { y.data[to] = x.data[from]; };
    walk(x.shape.sizes(), x.shape.strides(), strides, 0, offset_of(before, strides), 0, visit);
    return y;
}

Tensor tile(const Tensor& x, const Shape& result) {
    Tensor y(result);
    const auto strides = x.shape.strides();
    for (std::int64_t i = 0; i < y.size(); ++i) {
        std::int64_t rest = i, from = 0;
        for (int axis = result.rank() - 1; axis >= 0; --axis) {
            from += rest % result[axis] % x.shape[axis] * strides[static_cast<std::size_t>(axis)];
            rest /= result[axis];
        }
        y.data[static_cast<std::size_t>(i)] = x.data[static_cast<std::size_t>(from)];
    }
    return y;
}

Tensor gather(const Tensor& x, const Tensor& indices, int axis, const Shape& result) {
    Tensor y(result);
    const std::int64_t inner = x.shape.strides()[static_cast<std::size_t>(axis)],
                       count = x.shape[axis];
    const std::int64_t outer = x.size() / std::max<std::int64_t>(1, inner * count);
    auto out = y.data.begin();
    for (std::int64_t o = 0; o < outer; ++o) {
        for (const double index : indices.data) {
            const auto from =
                static_cast<std::int64_t>(index < 0 ? index + static_cast<double>(count) : index);
            const auto row = x.data.begin() + (o * count + from) * inner;
            out = std::copy(row, row + inner, out);
        }
    }
    return y;
}

}  // namespace pome::reference
