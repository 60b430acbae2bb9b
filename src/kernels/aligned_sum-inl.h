// The engine's sum of a tile (reference/chip/reduction.h) on float vectors that hold fp16 values,
// included once per vector target.

#if defined(POME_KERNELS_ALIGNED_SUM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_ALIGNED_SUM_INL_H_
#undef POME_KERNELS_ALIGNED_SUM_INL_H_
#else
#define POME_KERNELS_ALIGNED_SUM_INL_H_
#endif

#include "hwy/highway.h"

#undef POME_ALIGNS_BY_ROUNDING
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
#define POME_ALIGNS_BY_ROUNDING 1
#else
#define POME_ALIGNS_BY_ROUNDING 0
#endif

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// a + b, both cut to multiples of the unit that the larger one has at `bits` fraction bits. Exact
/// in float: 13 bits.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V aligned_sum(D d, V a, V b, int bits) {
    const hn::RebindToUnsigned<D> du;
    const V larger = hn::Max(hn::Abs(a), hn::Abs(b));
    const auto exponent = hn::And(hn::BitCast(du, larger), hn::Set(du, 0x7F800000U));
    const auto unit_bits = hn::Sub(exponent, hn::Set(du, static_cast<std::uint32_t>(bits) << 23));
    const V unit = hn::BitCast(d, unit_bits),
            inverse = hn::BitCast(d, hn::Sub(hn::Set(du, 254U << 23), unit_bits));
    const V cut = hn::Add(hn::Mul(hn::Trunc(hn::Mul(a, inverse)), unit),
                          hn::Mul(hn::Trunc(hn::Mul(b, inverse)), unit));
    const auto ordinary = hn::And(hn::Gt(larger, hn::Zero(d)), hn::Lt(larger, hn::Set(d, 1e30F)));
    return hn::IfThenElse(ordinary, cut, hn::Add(a, b));
}

#if POME_ALIGNS_BY_ROUNDING

/// The same at 11 fraction bits for finite values: the larger one loses what lies below its unit,
/// the smaller one is added to 2^12 times the larger one's power of two, where a float has that
/// unit, and taken off again. `short_values`: both are fp16 values, of which the larger one has
/// nothing to lose.
template <bool short_values>
HWY_INLINE __m512 aligned_sum(__m512 a, __m512 b) {
    constexpr int larger_magnitude = 0b0111, smaller_magnitude = 0b0110;  // with their own signs
    const __m512i larger = _mm512_castps_si512(_mm512_range_ps(a, b, larger_magnitude));
    const __m512 smaller = _mm512_range_ps(a, b, smaller_magnitude);
    const __m512i power = _mm512_and_si512(larger, _mm512_set1_epi32(0x7F800000));
    const __m512 signed_power = _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(power, _mm512_castps_si512(smaller),
                                  _mm512_set1_epi32(static_cast<int>(0x80000000U)), 0xF8));
    const __m512 far = _mm512_set1_ps(0x1p12F);
    const __m512 moved =
        _mm512_fmadd_round_ps(signed_power, far, smaller, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    const __m512 cut = _mm512_fnmadd_ps(signed_power, far, moved);
    const __m512i kept =
        short_values ? larger : _mm512_and_si512(larger, _mm512_set1_epi32(~0xFFF));
    return _mm512_add_ps(_mm512_castsi512_ps(kept), cut);
}

/// The sums of sixteen tiles of four; x[i] has element i of each.
HWY_INLINE __m512 tile_sums(const __m512* x) {
    return aligned_sum<false>(aligned_sum<false>(aligned_sum<true>(x[0], x[1]), x[2]), x[3]);
}

#endif  // POME_ALIGNS_BY_ROUNDING

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
