// fp16 values in float vectors: reading, rounding, writing. Included once per vector target.

#if defined(POME_KERNELS_ROUNDING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_ROUNDING_INL_H_
#undef POME_KERNELS_ROUNDING_INL_H_
#else
#define POME_KERNELS_ROUNDING_INL_H_
#endif

#include "base/fp16.h"
#include "hwy/highway.h"

// F16C and NEON convert in hardware; Highway's replacements elsewhere neither round nor know
// infinities, so those targets get their own.
#undef POME_SOFTWARE_HALVES
#if HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SCALAR || \
    HWY_TARGET == HWY_EMU128
#define POME_SOFTWARE_HALVES 1
#else
#define POME_SOFTWARE_HALVES 0
#endif

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// No vector has more floats.
constexpr int max_lanes = 64;

/// fp16 bits as floats, exact.
template <class D, class VU16>
HWY_INLINE hn::Vec<D> widen_bits(D d, VU16 bits) {
#if POME_SOFTWARE_HALVES
    const hn::RebindToUnsigned<D> du;
    const auto wide = hn::PromoteTo(du, bits);
    const auto magnitude = hn::And(wide, hn::Set(du, 0x7FFFU)),
               sign = hn::ShiftLeft<16>(hn::And(wide, hn::Set(du, 0x8000U)));
    const auto shifted = hn::ShiftLeft<13>(magnitude);
    // The product moves the exponent's bias and normalises subnormals at once.
    const auto finite = hn::BitCast(du, hn::Mul(hn::BitCast(d, shifted), hn::Set(d, 0x1p112F)));
    const auto special = hn::Or(shifted, hn::Set(du, 0x7F800000U));
    return hn::BitCast(
        d, hn::Or(sign, hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7BFFU)), special, finite)));
#else
    const hn::Rebind<hwy::float16_t, D> dh;
    return hn::PromoteTo(d, hn::BitCast(dh, bits));
#endif
}

/// The fp16 bits in the lower halves of 32-bit lanes as floats; the upper halves are zero.
template <class D, class VU32>
HWY_INLINE hn::Vec<D> widen_lanes(D d, VU32 bits) {
    const hn::Rebind<std::uint16_t, D> du16;
    return widen_bits(d, hn::DemoteTo(du16, hn::BitCast(hn::RebindToSigned<D>(), bits)));
}

/// Floats as fp16 bits, rounded to nearest even (exact for values that are fp16 values); NaN is
/// 0x7E00, with its sign where the hardware keeps it.
template <class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<hn::Rebind<std::uint16_t, D>> narrow_bits([[maybe_unused]] D d, V v) {
    const hn::Rebind<std::uint16_t, D> du16;
#if POME_SOFTWARE_HALVES
    const hn::RebindToUnsigned<D> du;
    const hn::RebindToSigned<D> di;
    const auto bits = hn::BitCast(du, v), magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFU));
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1U));
    const auto normal =
        hn::Sub(hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, hn::Set(du, 0xFFFU)), odd)),
                hn::Set(du, 112U << 10));
    // Only subnormals are taken from here; Highway's plain target has no defined result for 2^31.
    const auto units =
        hn::Min(hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p24F)), hn::Set(d, 1024.0F));
    const auto small = hn::BitCast(du, hn::NearestInt(units));
    auto half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 113U << 23)), small, normal);
    half = hn::Min(half, hn::Set(du, 0x7C00U));
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x477FEFFFU)), hn::Set(du, 0x7C00U),
                          half);  // from 65520 on
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7F800000U)), hn::Set(du, 0x7E00U),
                          half);  // NaN
    half = hn::Or(half, hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000U)));
    return hn::DemoteTo(du16, hn::BitCast(di, half));
#else
    const hn::Rebind<hwy::float16_t, D> dh;
    return hn::BitCast(du16, hn::DemoteTo(dh, v));
#endif
}

template <class D>
HWY_INLINE hn::Vec<D> load_halves(D d, const fp16* from) {
    const hn::Rebind<std::uint16_t, D> du16;
    return widen_bits(d, hn::LoadU(du16, reinterpret_cast<const std::uint16_t*>(from)));
}

/// Stores values that already are fp16 values, or rounds to nearest even.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void store_halves(D d, V v, fp16* to) {
    const hn::Rebind<std::uint16_t, D> du16;
    hn::StoreU(narrow_bits(d, v), du16, reinterpret_cast<std::uint16_t*>(to));
}

/// v, but each NaN the quiet one without payload that base/fp16.h makes, its sign kept.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V quiet_nan(D d, V v) {
    const V nan = hn::BitCast(d, hn::Set(hn::RebindToUnsigned<D>(), 0x7FC00000U));
    return hn::IfThenElse(hn::IsNaN(v), hn::CopySign(nan, v), v);
}

/// v rounded to the nearest fp16 value, ties away from zero, as a float. Subnormals are kept; from
/// 65520 on infinity. v has no NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V round_away(D d, V v) {
    const hn::RebindToUnsigned<D> du;
    const V magnitude = hn::Abs(v);
    // Half a unit added and the rest cut off: a carry moves into the exponent by itself.
    const auto carried = hn::Add(hn::BitCast(du, magnitude), hn::Set(du, 0x1000U));
    const V normal = hn::BitCast(d, hn::And(carried, hn::Set(du, ~0x1FFFU)));
    // Below 2^-14 the unit is 2^-24 throughout; the scaling and the difference are exact.
    const V units = hn::Mul(magnitude, hn::Set(d, 0x1p24F)), whole = hn::Floor(units);
    const V up =
        hn::IfThenElseZero(hn::Ge(hn::Sub(units, whole), hn::Set(d, 0.5F)), hn::Set(d, 1.0F));
    const V subnormal = hn::Mul(hn::Add(whole, up), hn::Set(d, 0x1p-24F));
    V rounded = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x1p-14F)), subnormal, normal);
    rounded = hn::IfThenElse(hn::Ge(rounded, hn::Set(d, 65536.0F)), hn::Inf(d), rounded);
    return hn::CopySign(rounded, v);
}

/// v rounded to the nearest fp16 value, as a float; ties to even unless `away`. NaN stays NaN;
/// `nan` says that there may be one.
template <bool away, bool nan, class D, class V = hn::Vec<D>>
HWY_INLINE V round_to_half(D d, V v) {
    if constexpr (!away) {
        return widen_bits(d, narrow_bits(d, v));
    }
    const V rounded = round_away(d, v);
    return nan ? hn::IfThenElse(hn::IsNaN(v), quiet_nan(d, v), rounded) : rounded;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
