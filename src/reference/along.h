#pragma once

#include <algorithm>
#include <cstdint>

#include "base/shape.h"

namespace pome::reference {

/// Visits every line of a tensor along an axis in row-major order: visit(start, step, count), where
/// the line's elements are start, start + step, ...
template <typename Visit>
void along(const Shape& shape, int axis, Visit visit) {
    const std::int64_t count = shape[axis], inner = shape.strides()[static_cast<std::size_t>(axis)];
    const std::int64_t outer = shape.elements() / std::max<std::int64_t>(1, count * inner);
    for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t i = 0; i < inner; ++i) {
            visit(o * count * inner + i, inner, count);
        }
    }
}

}  // namespace pome::reference
