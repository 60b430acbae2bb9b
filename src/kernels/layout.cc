#include "kernels/layout.h"

#include <algorithm>
#include <cstring>

namespace pome::kernels {
namespace {

constexpr std::int64_t tile =
    32;  // rows and columns of 16-bit elements that fit the first-level cache twice over

/// y[c][r] = x[r][c] for rows x columns, with the given row strides.
void transpose(const fp16* x, std::int64_t x_stride, fp16* y, std::int64_t y_stride,
               std::int64_t rows, std::int64_t columns) {
    for (std::int64_t r0 = 0; r0 < rows; r0 += tile) {
        for (std::int64_t c0 = 0; c0 < columns; c0 += tile) {
            const std::int64_t r1 = std::min(r0 + tile, rows), c1 = std::min(c0 + tile, columns);
            for (std::int64_t c = c0; c < c1; ++c) {
                for (std::int64_t r = r0; r < r1; ++r) {
                    y[c * y_stride + r] = x[r * x_stride + c];
                }
            }
        }
    }
}

struct Walk {
    std::vector<std::int64_t> sizes, from, to;  // axes before the innermost piece
};

template <typename Piece>
void walk(const Walk& axes, std::size_t axis, const fp16* x, fp16* y, const Piece& piece) {
    if (axis == axes.sizes.size()) {
        return piece(x, y);
    }
    for (std::int64_t i = 0; i < axes.sizes[axis]; ++i) {
        walk(axes, axis + 1, x + i * axes.from[axis], y + i * axes.to[axis], piece);
    }
}

}  // namespace

void permute(const fp16* x, fp16* y, const std::vector<std::int64_t>& sizes,
             const std::vector<int>& perm) {
    const std::size_t rank = sizes.size();
    if (rank == 0) {
        *y = *x;
        return;
    }
    std::vector<std::int64_t> strides(rank, 1), out_strides(rank, 1);
    for (std::size_t i = rank - 1; i > 0; --i) {
        strides[i - 1] = strides[i] * sizes[i];
        out_strides[i - 1] = out_strides[i] * sizes[static_cast<std::size_t>(perm[i])];
    }
    // The axis that is innermost in x and the one that is innermost in y make the piece; the others
    // are walked.
    const auto last = static_cast<int>(rank) - 1;
    const auto where_last =
        static_cast<std::size_t>(std::find(perm.begin(), perm.end(), last) - perm.begin());
    Walk axes;
    for (std::size_t i = 0; i < rank; ++i) {
        if (i == rank - 1 || i == where_last) {
            continue;
        }
        axes.sizes.push_back(sizes[static_cast<std::size_t>(perm[i])]);
        axes.from.push_back(strides[static_cast<std::size_t>(perm[i])]);
        axes.to.push_back(out_strides[i]);
    }
    const std::int64_t columns = sizes[rank - 1];
    if (where_last == rank - 1) {
        walk(axes, 0, x, y, [&](const fp16* from, fp16* to) {
            std::memcpy(to, from, static_cast<std::size_t>(columns) * sizeof(fp16));
        });
        return;
    }
    const auto row_axis = static_cast<std::size_t>(perm[rank - 1]);
    walk(axes, 0, x, y, [&](const fp16* from, fp16* to) {
        transpose(from, strides[row_axis], to, out_strides[where_last], sizes[row_axis], columns);
    });
}

}  // namespace pome::kernels
