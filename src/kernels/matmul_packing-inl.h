// Packing for the products: operands as floats in the order the inner loops read them, with the
// magnitudes that bound their sums. Included once per vector target.

#if defined(POME_KERNELS_MATMUL_PACKING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_MATMUL_PACKING_INL_H_
#undef POME_KERNELS_MATMUL_PACKING_INL_H_
#else
#define POME_KERNELS_MATMUL_PACKING_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/matmul_call.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t lanes = HWY_LANES(float);
constexpr std::int64_t panel_width = 2 * lanes;
// Rows of a tile, two vectors of accumulators each: as many as the registers hold. With 32 registers
// 8 was fastest (10 and 12 made g++ 12 spill).
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_ARCH_ARM_A64
constexpr std::int64_t block_rows = 8;
#else
constexpr std::int64_t block_rows = 4;
#endif
/// Steps of K that are packed together, through a buffer that stays in the nearest cache.
constexpr std::int64_t packed_steps = 64;

/// K rounded up to whole lines: packed pieces start on lines of their own.
inline std::int64_t padded(std::int64_t inner) { return (inner + 15) / 16 * 16; }

/// Up to 8 rows of 8, `stride` apart, to 8 columns of 8, the first `width` of each at to + i * width.
inline void transpose(const std::uint16_t* from, std::int64_t stride, std::int64_t rows,
                      std::int64_t width, std::uint16_t* to) {
    const hn::FixedTag<std::uint16_t, 8> d;
    const hn::RepartitionToWide<decltype(d)> dw;
    const hn::RepartitionToWide<decltype(dw)> dq;
    const auto row = [&](std::int64_t r)
                         HWY_ATTR { return r < rows ? hn::LoadU(d, from + r * stride) : hn::Zero(d); };
    const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
    const auto r4 = row(4), r5 = row(5), r6 = row(6), r7 = row(7);
    const auto l01 = hn::BitCast(dw, hn::InterleaveLower(d, r0, r1));
    const auto l23 = hn::BitCast(dw, hn::InterleaveLower(d, r2, r3));
    const auto l45 = hn::BitCast(dw, hn::InterleaveLower(d, r4, r5));
    const auto l67 = hn::BitCast(dw, hn::InterleaveLower(d, r6, r7));
    const auto u01 = hn::BitCast(dw, hn::InterleaveUpper(d, r0, r1));
    const auto u23 = hn::BitCast(dw, hn::InterleaveUpper(d, r2, r3));
    const auto u45 = hn::BitCast(dw, hn::InterleaveUpper(d, r4, r5));
    const auto u67 = hn::BitCast(dw, hn::InterleaveUpper(d, r6, r7));
    const auto put = [&](auto low, auto high, std::int64_t k) HWY_ATTR {
        const auto q0 = hn::BitCast(dq, hn::InterleaveLower(dw, low, high));
        const auto q1 = hn::BitCast(dq, hn::InterleaveUpper(dw, low, high));
        return std::pair{q0, q1};
    };
    const auto store = [&](auto first, auto second, std::int64_t k) HWY_ATTR {
        const auto even = hn::BitCast(d, hn::InterleaveLower(dq, first, second));
        const auto odd = hn::BitCast(d, hn::InterleaveUpper(dq, first, second));
        if (width >= 8) {
            hn::StoreU(even, d, to + k * width);
            hn::StoreU(odd, d, to + (k + 1) * width);
        } else {
            const hn::FixedTag<std::uint16_t, 4> half;
            hn::StoreU(hn::LowerHalf(half, even), half, to + k * width);
            hn::StoreU(hn::LowerHalf(half, odd), half, to + (k + 1) * width);
        }
    };
    static_cast<void>(put);
    static_cast<void>(store);
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
