#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/shape.h"

namespace pome::reference {

/// One number for each of three spatial axes: depth, height, width.
using Spatial = std::array<std::int64_t, 3>;

/// One to three numbers as three: axes that are not there are in front.
inline Spatial three(const std::vector<std::int64_t>& values, std::int64_t absent) {
    Spatial result{absent, absent, absent};
    std::copy(values.begin(), values.end(),
              result.end() - static_cast<std::ptrdiff_t>(values.size()));
    return result;
}

/// The sizes after batch and channels.
inline Spatial spatial(const Shape& shape) {
    return three({shape.begin() + 2, shape.end()}, 1);
}

inline std::int64_t volume(const Spatial& sizes) {
    return sizes[0] * sizes[1] * sizes[2];
}

/// The i for which 0 <= i * stride + shift < size, among [0, count).
struct Range {
    std::int64_t first, last;
};
inline Range inside(std::int64_t count, std::int64_t stride, std::int64_t shift,
                    std::int64_t size) {
    const std::int64_t first = shift < 0 ? (-shift + stride - 1) / stride : 0;
    const std::int64_t last = shift < size ? (size - 1 - shift) / stride + 1 : 0;
    return {first, std::min(count, last)};
}

}  // namespace pome::reference
