// Sums in the engine's unit, 2^-16, as results. Included once per vector target.

#if defined(POME_KERNELS_FIXED_POINT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_FIXED_POINT_INL_H_
#undef POME_KERNELS_FIXED_POINT_INL_H_
#else
#define POME_KERNELS_FIXED_POINT_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "base/fp16.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Units of 2^-16 to fp16, ties away; from 2^15 on infinity. Adding half and cutting off needs no
/// bit below the half: cutting the low bits of large sums first makes the conversion to float
/// exact. Returns the infinities among the first `count`.
HWY_INLINE std::int64_t store_results(hn::Vec<hn::ScalableTag<std::int32_t>> sum,
                                      std::int64_t count, fp16* out) {
    const hn::ScalableTag<float> d;
    const hn::ScalableTag<std::int32_t> di;
    const auto magnitude = hn::Abs(sum);
    const auto large = hn::Gt(magnitude, hn::Set(di, 0xFFFFFF));
    const auto cut = hn::IfThenElse(large, hn::And(magnitude, hn::Set(di, ~0xFF)), magnitude);
    const auto bits = hn::BitCast(di, hn::ConvertTo(d, cut));
    // The float counts units, 2^16 times the value, and has its exponent biased by 112 more.
    const auto rounded = hn::ShiftRight<13>(hn::Add(bits, hn::Set(di, 0x1000)));
    const auto normal = hn::Sub(rounded, hn::Set(di, (112 + 16) << 10));
    const auto subnormal = hn::ShiftLeft<8>(magnitude);  // less than 4 units, below 2^-14
    const auto half = hn::IfThenElse(hn::Gt(hn::Set(di, 4), magnitude), subnormal, normal);
    const auto over = hn::Gt(half, hn::Set(di, 0x77FF));
    const auto limited = hn::IfThenElse(over, hn::Set(di, 0x7C00), half);
    const auto sign = hn::And(hn::ShiftRight<16>(sum), hn::Set(di, 0x8000));
    const hn::Rebind<std::uint16_t, decltype(di)> dh;
    hn::StoreU(hn::DemoteTo(dh, hn::Or(limited, sign)), dh, &out->bits);
    const auto inside = hn::FirstN(di, static_cast<std::size_t>(std::max<std::int64_t>(0, count)));
    return static_cast<std::int64_t>(hn::CountTrue(di, hn::And(over, inside)));
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
/// The same of 32 sums; writes `count` results, 1 to 32. What the conversion to float cuts off is
/// below the half, and so is what the one to fp16 does, down to units of 2^-24, of which 1 to 3
/// units of 2^-16 are multiples. Sums end at 2^15, whose half is 0x7800.
HWY_INLINE std::int64_t store_results(__m512i low, __m512i high, std::int64_t count, fp16* out) {
    constexpr int cut_off = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
    const auto halves = [](__m512i sums) HWY_ATTR __attribute__((always_inline)) {
        const __m512i bits = _mm512_castps_si512(_mm512_cvt_roundepi32_ps(sums, cut_off));
        const __m512 carried =
            _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x1000)));
        return _mm512_cvtps_ph(_mm512_mul_ps(carried, _mm512_set1_ps(0x1p-16F)), cut_off);
    };
    __m512i results = _mm512_inserti64x4(_mm512_castsi256_si512(halves(low)), halves(high), 1);
    const __mmask32 inside = ~__mmask32{0} >> (32 - count);
    const __mmask32 over =
        inside & _mm512_cmpge_epu16_mask(_mm512_and_si512(results, _mm512_set1_epi16(0x7FFF)),
                                         _mm512_set1_epi16(0x7800));
    if (over != 0) {
        results = _mm512_mask_blend_epi16(over, results,
                                          _mm512_or_si512(results, _mm512_set1_epi16(0x7C00)));
    }
    if (count == 32) {
        _mm512_storeu_si512(out, results);
    } else {
        _mm512_mask_storeu_epi16(out, inside, results);
    }
    return __builtin_popcount(over);
}
#endif

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
