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

/// What two addends are known to be. Of fp16 values the larger one has nothing to lose.
enum class Addends : std::uint8_t { any, fp16_values, not_negative };

/// The same at 11 fraction bits for finite values: what is added to 2^12 times the larger one's
/// power of two, where a float has the unit, and taken off again, has lost what lies below the unit
/// if it has that power's sign. sums[i] = a[i] + b[i] of `count` vectors, stage by stage: one after
/// another, each would wait for itself. sums may be a.
template <Addends addends, int count>
HWY_INLINE void aligned_sums(const __m512* a, const __m512* b, __m512* sums) {
    constexpr int cut_off = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
    const __m512 far = _mm512_set1_ps(0x1p12F);
    __m512 power[count], moved[count];
    if constexpr (addends == Addends::not_negative) {  // both at once
        const __m512 exponent = _mm512_castsi512_ps(_mm512_set1_epi32(0x7F800000));
        for (int i = 0; i < count; ++i) {
            power[i] = _mm512_and_ps(_mm512_max_ps(a[i], b[i]), exponent);
        }
        for (int i = 0; i < count; ++i) {
            moved[i] = _mm512_fmadd_round_ps(power[i], far, a[i], cut_off);
        }
        for (int i = 0; i < count; ++i) {
            moved[i] = _mm512_add_round_ps(moved[i], b[i], cut_off);
        }
        for (int i = 0; i < count; ++i) {
            sums[i] = _mm512_fnmadd_ps(power[i], far, moved[i]);
        }
        return;
    }
    constexpr int larger_magnitude = 0b0111;  // with its own sign
    __m512i kept[count], smaller[count];
    for (int i = 0; i < count; ++i) {
        kept[i] = _mm512_castps_si512(_mm512_range_ps(a[i], b[i], larger_magnitude));
    }
    for (int i = 0; i < count; ++i) {  // the other one
        smaller[i] = _mm512_ternarylogic_epi32(kept[i], _mm512_castps_si512(a[i]),
                                               _mm512_castps_si512(b[i]), 0x96);
    }
    if constexpr (addends == Addends::any) {
        for (int i = 0; i < count; ++i) {
            kept[i] = _mm512_and_si512(kept[i], _mm512_set1_epi32(~0xFFF));
        }
    }
    // The larger one's exponent with the smaller one's sign, and its upper fraction bits too: they
    // do no harm, as 2^12 times this is a multiple of the larger one's next power of two that stays
    // far enough below the next exponent. (The lowest twelve bits are zero.)
    for (int i = 0; i < count; ++i) {
        power[i] = _mm512_castsi512_ps(
            _mm512_ternarylogic_epi32(_mm512_set1_epi32(0x7F800FFF), kept[i], smaller[i], 0xCA));
    }
    for (int i = 0; i < count; ++i) {
        moved[i] = _mm512_fmadd_round_ps(power[i], far, _mm512_castsi512_ps(smaller[i]), cut_off);
    }
    for (int i = 0; i < count; ++i) {
        moved[i] = _mm512_fnmadd_ps(power[i], far, moved[i]);
    }
    for (int i = 0; i < count; ++i) {
        sums[i] = _mm512_add_ps(_mm512_castsi512_ps(kept[i]), moved[i]);
    }
}

#endif  // POME_ALIGNS_BY_ROUNDING

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
