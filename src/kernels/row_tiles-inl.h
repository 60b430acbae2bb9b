// Rows of halves in 512-bit vectors as the engine's tiles of four want them: the elements of
// sixteen tiles as four vectors of floats, their first elements, their second ones and so on.
// Included once per vector target; empty where POME_ALIGNS_BY_ROUNDING is 0.

#if defined(POME_KERNELS_ROW_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_ROW_TILES_INL_H_
#undef POME_KERNELS_ROW_TILES_INL_H_
#else
#define POME_KERNELS_ROW_TILES_INL_H_
#endif

#include <array>
#include <cstdint>

#include "base/fp16.h"
#include "hwy/highway.h"
#include "kernels/aligned_sum-inl.h"
#include "kernels/wide_halves-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if POME_ALIGNS_BY_ROUNDING

/// What is summed: the elements, or their squares as fp16.
enum class Terms : std::uint8_t { values, squares };

HWY_INLINE __m512 low_floats(__m512i bits) {
    return _mm512_cvtph_ps(_mm512_castsi512_si256(bits));
}
HWY_INLINE __m512 high_floats(__m512i bits) {
    return _mm512_cvtph_ps(_mm512_extracti64x4_epi64(bits, 1));
}
HWY_INLINE __m512d low_doubles(__m512 v) {
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}
HWY_INLINE __m512d high_doubles(__m512 v) {
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

/// x x, rounded to fp16 as combine_bits does; no number where that is infinite or x is no number.
HWY_INLINE __m512 square_of(__m512 x) {
    const __m512i exact = _mm512_castps_si512(_mm512_mul_ps(x, x));
    const __m512 moved = _mm512_castsi512_ps(_mm512_add_epi32(exact, _mm512_set1_epi32(1)));
    return _mm512_cvtph_ps(_mm512_cvtps_ph(moved, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/// `count` times the sums of sixteen tiles of four, of the elements or of their squares, stage by
/// stage; `fronts` and `backs` give the first two and the last two elements of each of the i-th
/// sixteen. An infinity or a NaN makes its tile's sum NaN: the aligned sums subtract from each
/// infinity itself. That is how the callers notice.
template <Terms terms, int count, typename Front, typename Back>
HWY_INLINE void sums_of_tiles(const Front& fronts, const Back& backs, __m512* sums) {
    constexpr bool squares = terms == Terms::squares;
    constexpr Addends first = squares ? Addends::not_negative : Addends::fp16_values,
                      later = squares ? Addends::not_negative : Addends::any;
    __m512 other[count], last[count];
    for (int i = 0; i < count; ++i) {
        fronts(i, sums + i, other + i);
    }
    const auto take = [](__m512 * x) HWY_ATTR __attribute__((always_inline)) {
        if constexpr (squares) {
            for (int i = 0; i < count; ++i) {
                x[i] = square_of(x[i]);
            }
        }
    };
    take(sums);
    take(other);
    aligned_sums<first, count>(sums, other, sums);
    for (int i = 0; i < count; ++i) {
        backs(i, other + i, last + i);
    }
    take(other);
    aligned_sums<later, count>(sums, other, sums);
    take(last);
    aligned_sums<later, count>(sums, last, sums);
}

/// Of two vectors of eight tiles: their first and second elements, their third and fourth; and
/// back.
struct TileOrder {
    constexpr TileOrder() {
        for (std::uint16_t tile = 0; tile < 16; ++tile) {
            for (std::uint16_t k = 0; k < 2; ++k) {
                const auto to = static_cast<std::size_t>(tile + 16 * k);
                front[to] = static_cast<std::uint16_t>(4 * tile + k);
                back[to] = static_cast<std::uint16_t>(4 * tile + 2 + k);
            }
        }
        for (std::uint16_t i = 0; i < wide; ++i) {
            const int tile = i / 4, k = i % 4;
            low[i] = static_cast<std::uint16_t>(k / 2 * 32 + k % 2 * 16 + tile);
            high[i] = static_cast<std::uint16_t>(low[i] + 8);
        }
    }
    alignas(64) std::array<std::uint16_t, 32> front{}, back{};
    alignas(64) std::array<std::uint16_t, 32> low{}, high{};  ///< of fronts and backs: the elements
};
inline constexpr TileOrder tile_order;

constexpr std::int64_t of_tiles = 64;  ///< elements of sixteen tiles

/// `count` halves as sixteen tiles at a time: front(at) gives the first and the second elements of
/// those that begin at element `at`, back(at) the others. What is not whole ends in zeros.
struct HalvesRow {
    HalvesRow(const fp16* halves, std::int64_t elements)
        : x(halves),
          count(elements),
          take_front(_mm512_load_si512(tile_order.front.data())),
          take_back(_mm512_load_si512(tile_order.back.data())) {}

    template <bool is_whole>
    HWY_INLINE __m512i load(std::int64_t at) const {
        if constexpr (is_whole) {
            return _mm512_loadu_si512(x + at);
        } else {
            return _mm512_maskz_loadu_epi16(first_halves(count - at), x + at);
        }
    }
    template <bool is_whole>
    HWY_INLINE void front(std::int64_t at, __m512* first, __m512* second) const {
        const __m512i both =
            _mm512_permutex2var_epi16(load<is_whole>(at), take_front, load<is_whole>(at + wide));
        *first = low_floats(both);
        *second = high_floats(both);
    }
    template <bool is_whole>
    HWY_INLINE void back(std::int64_t at, __m512* third, __m512* fourth) const {
        const __m512i both =
            _mm512_permutex2var_epi16(load<is_whole>(at), take_back, load<is_whole>(at + wide));
        *third = low_floats(both);
        *fourth = high_floats(both);
    }

    const fp16* x;
    std::int64_t count;
    __m512i take_front, take_back;
};

/// The sums of a row's `count` elements, or of their squares, tile by tile in any order; no finite
/// number where an element, or a square, is none. The row is as HalvesRow; tiles of zeros add
/// nothing.
template <Terms terms, typename Row>
HWY_INLINE double sum_of_row(const Row& row, std::int64_t count) {
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    std::int64_t i = 0;
    const auto add = [&]<int some, bool is_whole>() HWY_ATTR __attribute__((always_inline)) {
        __m512 parts[some];
        sums_of_tiles<terms, some>(
            [&](int k, __m512* first, __m512* second) HWY_ATTR __attribute__((always_inline)) {
                row.template front<is_whole>(i + k * of_tiles, first, second);
            },
            [&](int k, __m512* third, __m512* fourth) HWY_ATTR __attribute__((always_inline)) {
                row.template back<is_whole>(i + k * of_tiles, third, fourth);
            },
            parts);
        for (int k = 0; k < some; ++k) {
            low = _mm512_add_pd(low, low_doubles(parts[k]));
            high = _mm512_add_pd(high, high_doubles(parts[k]));
        }
        i += some * of_tiles;
    };
    while (i + 4 * of_tiles <= count) {
        add.template operator()<4, true>();
    }
    if (i + 2 * of_tiles <= count) {
        add.template operator()<2, true>();
    }
    if (i + of_tiles <= count) {
        add.template operator()<1, true>();
    }
    if (i < count) {
        add.template operator()<1, false>();
    }
    const hn::ScalableTag<double> d;
    return hn::GetLane(hn::SumOfLanes(d, hn::Vec<decltype(d)>{_mm512_add_pd(low, high)}));
}

#endif  // POME_ALIGNS_BY_ROUNDING

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
