// One elementwise operation on float vectors that hold fp16 values, included once per vector
// target.
//
// One rounding to float before a rounding to the nearest fp16 changes nothing. Products have 22
// bits: exact. A sum of two fp16 values is exact in float when their exponents differ by at most
// 12; beyond that the smaller one is below a quarter of the larger one's unit, so neither the exact
// nor the float sum is at or past a tie. Quotients: let x and y be integers of at most 11 bits and
// x / y be scaled into [1, 2). Its ties are t = T 2^-11, T odd; x / y is t, or |x 2^11 - T y| >= 1
// and it is more than 2^-22 away, where float errs by at most 2^-24. (Subnormal results have
// coarser units: the distance only grows.)

#if defined(POME_KERNELS_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_ELEMENTWISE_INL_H_
#undef POME_KERNELS_ELEMENTWISE_INL_H_
#else
#define POME_KERNELS_ELEMENTWISE_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/elementwise.h"
#include "kernels/rounding-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// An operand as the engine reads it: NaN is +inf with `coerce`.
template <bool coerce, class D, class V = hn::Vec<D>>
HWY_INLINE V operand(D d, V v) {
    return coerce ? hn::IfThenElse(hn::IsNaN(v), hn::Inf(d), v) : v;
}

/// x op y before its rounding to fp16, of a sum, difference, product or quotient; with `coerce`
/// NaN operands are +inf and indeterminate results +0.
template <Binary op, bool coerce, class D, class V = hn::Vec<D>>
HWY_INLINE V exact(D d, V x, V y) {
    const V zero = hn::Zero(d);
    x = operand<coerce>(d, x);
    y = operand<coerce>(d, y);
    V result = zero;
    if constexpr (op == Binary::add) {
        result = hn::Add(x, y);
    }
    if constexpr (op == Binary::sub) {
        result = hn::Sub(x, y);
    }
    if constexpr (op == Binary::mul) {
        result = hn::Mul(x, y);
    }
    if constexpr (op == Binary::real_div) {
        // Adding +0 turns a divisor of -0 into +0: zeros have no sign on the engine.
        result = hn::Div(x, coerce ? hn::Add(y, zero) : y);
    }
    return coerce ? hn::IfThenElse(hn::IsNaN(result), zero, result) : result;
}

/// x op y rounded to the nearest fp16 (as floats), ties to even unless `away`; with `coerce` NaN
/// operands are +inf, indeterminate results and -0 are +0.
template <Binary op, bool coerce, bool away, class D, class V = hn::Vec<D>>
HWY_INLINE V combine(D d, V x, V y) {
    const V zero = hn::Zero(d);
    V result = zero;
    if constexpr (op == Binary::maximum || op == Binary::minimum) {
        x = operand<coerce>(d, x);
        y = operand<coerce>(d, y);
        result = hn::IfThenElse(op == Binary::maximum ? hn::Gt(x, y) : hn::Lt(x, y), x, y);
    } else {
        result = round_to_half<away, !coerce>(d, exact<op, coerce>(d, x, y));
    }
    return coerce ? hn::Add(result, zero) : result;
}

/// The bits of combine()'s result, with less work. `past_ties` is 1 where ties go away from zero,
/// else 0: they do when the hardware's rounding to even is given the next float away from zero.
/// That moves nothing else past a tie: a float of an exact product or sum that is not a tie is at
/// least two units in its last place from one (its lowest bit is zero), so is a sum of operands
/// more than 2^12 apart, and a quotient is 2^-22 away where a unit is 2^-23.
template <Binary op, bool coerce, class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<hn::Rebind<std::uint16_t, D>> combine_bits(
    D d, V x, V y, [[maybe_unused]] hn::Vec<hn::RebindToUnsigned<D>> past_ties) {
    V result = hn::Zero(d);
    if constexpr (op == Binary::maximum || op == Binary::minimum) {
        result = combine<op, coerce, false>(d, x, y);
    } else {
        result = exact<op, coerce>(d, x, y);
        const hn::RebindToUnsigned<D> du;
        const auto bits = hn::BitCast(du, result);
        const auto finite =
            hn::Lt(hn::And(bits, hn::Set(du, 0x7FFFFFFFU)), hn::Set(du, 0x7F800000U));
        result = hn::BitCast(d, hn::Add(bits, hn::IfThenElseZero(finite, past_ties)));
    }
    const auto halves = narrow_bits(d, result);
    if constexpr (!coerce) {
        return halves;
    }
    const hn::Rebind<std::uint16_t, D> du16;
    return hn::IfThenZeroElse(hn::Eq(halves, hn::Set(du16, std::uint16_t{0x8000})), halves);
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
