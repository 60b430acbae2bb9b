#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

namespace pome::reference {

/// Visits every index of `sizes` in row-major order with two offsets, each of which moves by its
/// own strides (which may be 0 or negative): how tensors are copied from one layout to another.
/// visit(offset_a, offset_b).
template <typename Visit>
void walk(const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& a_strides,
          const std::vector<std::int64_t>& b_strides, std::int64_t a, std::int64_t b, Visit visit,
          std::size_t axis = 0) {
    if (axis == sizes.size()) {
        return visit(static_cast<std::size_t>(a), static_cast<std::size_t>(b));
    }
    if (axis + 1 == sizes.size()) {  // the innermost axis as a plain loop
        for (std::int64_t i = 0; i < sizes[axis]; ++i) {
            visit(static_cast<std::size_t>(a + i * a_strides[axis]),
                  static_cast<std::size_t>(b + i * b_strides[axis]));
        }
        return;
    }
    for (std::int64_t i = 0; i < sizes[axis]; ++i) {
        walk(sizes, a_strides, b_strides, a + i * a_strides[axis], b + i * b_strides[axis], visit,
             axis + 1);
    }
}

/// The offset of an index in a tensor of these strides.
inline std::int64_t offset_of(const std::vector<std::int64_t>& index,
                              const std::vector<std::int64_t>& strides) {
    return std::inner_product(index.begin(), index.end(), strides.begin(), std::int64_t{0});
}

}  // namespace pome::reference
