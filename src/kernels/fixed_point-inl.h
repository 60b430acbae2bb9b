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

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
