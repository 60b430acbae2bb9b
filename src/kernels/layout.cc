#include "kernels/layout.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layout.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// y[c][r] = x[r][c] of 8 x 8 elements.
HWY_INLINE void transpose_eight(const std::uint16_t* x, std::int64_t x_stride, std::uint16_t* y,
                                std::int64_t y_stride) {
#if HWY_TARGET == HWY_SCALAR
    for (std::int64_t r = 0; r < 8; ++r) {
        for (std::int64_t c = 0; c < 8; ++c) {
            y[c * y_stride + r] = x[r * x_stride + c];
        }
    }
#else
    const hn::Full128<std::uint16_t> d;
    const hn::Full128<std::uint32_t> d2;
    const hn::Full128<std::uint64_t> d4;
    const auto row = [&](std::int64_t r) HWY_ATTR { return hn::LoadU(d, x + r * x_stride); };
    const auto put = [&](std::int64_t c, auto v)
                         HWY_ATTR { hn::StoreU(hn::BitCast(d, v), d, y + c * y_stride); };
    const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3), r4 = row(4), r5 = row(5),
               r6 = row(6), r7 = row(7);
    // Two rows side by side, then four, then eight; "low" are the first four columns.
    const auto low01 = hn::BitCast(d2, hn::InterleaveLower(d, r0, r1)),
               low23 = hn::BitCast(d2, hn::InterleaveLower(d, r2, r3)),
               low45 = hn::BitCast(d2, hn::InterleaveLower(d, r4, r5)),
               low67 = hn::BitCast(d2, hn::InterleaveLower(d, r6, r7)),
               high01 = hn::BitCast(d2, hn::InterleaveUpper(d, r0, r1)),
               high23 = hn::BitCast(d2, hn::InterleaveUpper(d, r2, r3)),
               high45 = hn::BitCast(d2, hn::InterleaveUpper(d, r4, r5)),
               high67 = hn::BitCast(d2, hn::InterleaveUpper(d, r6, r7));
    const auto join = [&](std::int64_t c, auto first, auto second, auto third,
                          auto fourth) HWY_ATTR {
        const auto top = hn::BitCast(d4, hn::InterleaveLower(d2, first, second)),
                   bottom = hn::BitCast(d4, hn::InterleaveLower(d2, third, fourth)),
                   next_top = hn::BitCast(d4, hn::InterleaveUpper(d2, first, second)),
                   next_bottom = hn::BitCast(d4, hn::InterleaveUpper(d2, third, fourth));
        put(c, hn::InterleaveLower(d4, top, bottom));
        put(c + 1, hn::InterleaveUpper(d4, top, bottom));
        put(c + 2, hn::InterleaveLower(d4, next_top, next_bottom));
        put(c + 3, hn::InterleaveUpper(d4, next_top, next_bottom));
    };
    join(0, low01, low23, low45, low67);
    join(4, high01, high23, high45, high67);
#endif
}

constexpr std::int64_t tile = 32;  // elements: a cache line a row, on both sides

void transpose_all(const std::uint16_t* x, std::int64_t x_stride, std::uint16_t* y,
                   std::int64_t y_stride, std::int64_t rows, std::int64_t columns) {
    for (std::int64_t r0 = 0; r0 < rows; r0 += tile) {
        for (std::int64_t c0 = 0; c0 < columns; c0 += tile) {
            const std::int64_t r1 = std::min(r0 + tile, rows), c1 = std::min(c0 + tile, columns);
            for (std::int64_t c = c0; c < c1; c += 8) {
                for (std::int64_t r = r0; r < r1; r += 8) {
                    if (r + 8 <= r1 && c + 8 <= c1) {
                        transpose_eight(x + r * x_stride + c, x_stride, y + c * y_stride + r,
                                        y_stride);
                        continue;
                    }
                    for (std::int64_t i = r; i < std::min(r + 8, r1); ++i) {
                        for (std::int64_t j = c; j < std::min(c + 8, c1); ++j) {
                            y[j * y_stride + i] = x[i * x_stride + j];
                        }
                    }
                }
            }
        }
    }
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(transpose_all);

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

void transpose(const fp16* x, std::int64_t x_stride, fp16* y, std::int64_t y_stride,
               std::int64_t rows, std::int64_t columns) {
    HWY_DYNAMIC_DISPATCH(transpose_all)
    (reinterpret_cast<const std::uint16_t*>(x), x_stride, reinterpret_cast<std::uint16_t*>(y),
     y_stride, rows, columns);
}

void permute(const fp16* x, fp16* y, const std::vector<std::int64_t>& sizes,
             const std::vector<int>& perm, std::int64_t begin, std::int64_t end) {
    const std::size_t rank = sizes.size();
    std::vector<std::int64_t> strides(rank, 1), out_strides(rank, 1);
    for (std::size_t i = rank - 1; i > 0; --i) {
        strides[i - 1] = strides[i] * sizes[i];
        out_strides[i - 1] = out_strides[i] * sizes[static_cast<std::size_t>(perm[i])];
    }
    // Of y's axes, the part that is asked for.
    std::vector<std::int64_t> counts(rank), from(rank);
    for (std::size_t i = 0; i < rank; ++i) {
        counts[i] = sizes[static_cast<std::size_t>(perm[i])];
        from[i] = strides[static_cast<std::size_t>(perm[i])];
    }
    counts[0] = end - begin;
    x += begin * from[0];
    y += begin * out_strides[0];
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
        axes.sizes.push_back(counts[i]);
        axes.from.push_back(from[i]);
        axes.to.push_back(out_strides[i]);
    }
    const std::int64_t columns = counts[where_last];
    if (where_last == rank - 1) {
        walk(axes, 0, x, y, [&](const fp16* piece, fp16* to) {
            std::memcpy(to, piece, static_cast<std::size_t>(columns) * sizeof(fp16));
        });
        return;
    }
    walk(axes, 0, x, y, [&](const fp16* piece, fp16* to) {
        transpose(piece, from[rank - 1], to, out_strides[where_last], counts[rank - 1], columns);
    });
}

void permute(const fp16* x, fp16* y, const std::vector<std::int64_t>& sizes,
             const std::vector<int>& perm) {
    if (sizes.empty()) {
        *y = *x;
        return;
    }
    permute(x, y, sizes, perm, 0, sizes[static_cast<std::size_t>(perm[0])]);
}

}  // namespace pome::kernels
#endif
