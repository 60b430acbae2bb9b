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

/// x op y rounded to the nearest fp16 (as floats), ties to even unless `away`; with `coerce` NaN
/// operands are +inf, indeterminate results and -0 are +0.
template <Binary op, bool coerce, bool away, class D, class V = hn::Vec<D>>
HWY_INLINE V combine(D d, V x, V y) {
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
    if constexpr (op == Binary::maximum) {
        result = hn::IfThenElse(hn::Gt(x, y), x, y);
    }
    if constexpr (op == Binary::minimum) {
        result = hn::IfThenElse(hn::Lt(x, y), x, y);
    }
    if constexpr (op != Binary::maximum && op != Binary::minimum) {
        if constexpr (coerce) {
            result = hn::IfThenElse(hn::IsNaN(result), zero, result);
        }
        result = round_to_half<away, !coerce>(d, result);
    }
    return coerce ? hn::Add(result, zero) : result;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
