// Rounding to fp16 on float vectors, included once per vector target.

#if defined(POME_KERNELS_ROUNDING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_ROUNDING_INL_H_
#undef POME_KERNELS_ROUNDING_INL_H_
#else
#define POME_KERNELS_ROUNDING_INL_H_
#endif

#include "base/fp16.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// v rounded to the nearest fp16 value, ties away from zero, as a float. Subnormals are kept; from 65520 on infinity; NaN stays.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V round_away(D d, V v) {
    const hn::RebindToUnsigned<D> du;
    const V magnitude = hn::Abs(v);
    // Half a unit added and the rest cut off: a carry moves into the exponent by itself.
    const auto carried = hn::Add(hn::BitCast(du, magnitude), hn::Set(du, 0x1000U));
    const V normal = hn::BitCast(d, hn::And(carried, hn::Set(du, ~0x1FFFU)));
    // Below 2^-14 the unit is 2^-24 throughout; the scaling and the difference are exact.
    const V units = hn::Mul(magnitude, hn::Set(d, 0x1p24F)), whole = hn::Floor(units);
    const V up = hn::IfThenElseZero(hn::Ge(hn::Sub(units, whole), hn::Set(d, 0.5F)), hn::Set(d, 1.0F));
    const V subnormal = hn::Mul(hn::Add(whole, up), hn::Set(d, 0x1p-24F));
    V rounded = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x1p-14F)), subnormal, normal);
    rounded = hn::IfThenElse(hn::Ge(rounded, hn::Set(d, 65536.0F)), hn::Inf(d), rounded);
    return hn::CopySign(rounded, v);
}

template <class D>
HWY_INLINE hn::Vec<D> load_halves(D d, const fp16* from) {
    const hn::Rebind<hwy::float16_t, D> dh;
    return hn::PromoteTo(d, hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(from)));
}

/// Stores values that already are fp16 values, or rounds to nearest even.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void store_halves(D, V v, fp16* to) {
    const hn::Rebind<hwy::float16_t, D> dh;
    hn::StoreU(hn::DemoteTo(dh, v), dh, reinterpret_cast<hwy::float16_t*>(to));
}

/// No vector has more floats.
constexpr int max_lanes = 64;

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
