#include "reference/elementwise.h"

namespace pome::reference {

Rows rows(const Shape& operand, const Shape& result) {
    Rows rows{{0}, 0};
    const auto strides = operand.strides();
    const int extra = result.rank() - operand.rank();
    const auto stride_along = [&](int axis) {
        const int own = axis - extra;
        return own >= 0 && operand[own] != 1 ? strides[static_cast<std::size_t>(own)] : 0;
    };
    for (int axis = 0; axis < result.rank() - 1; ++axis) {
        std::vector<std::int64_t> next;
        next.reserve(rows.starts.size() * static_cast<std::size_t>(result[axis]));
        for (const std::int64_t start : rows.starts) {
            for (std::int64_t i = 0; i < result[axis]; ++i) {
                next.push_back(start + i * stride_along(axis));
            }
        }
        rows.starts = std::move(next);
    }
    if (result.rank() > 0) {
        rows.step = stride_along(result.rank() - 1);
    }
    return rows;
}

}  // namespace pome::reference
