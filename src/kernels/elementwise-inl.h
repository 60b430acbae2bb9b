// One elementwise operation on float vectors that hold fp16 values, included once per vector
// target.
//
// One rounding to float before the rounding to fp16 changes nothing. Products have 22 bits: exact.
// A sum of two fp16 values is exact in float when their exponents differ by at most 12; beyond that
// the smaller one is below a quarter of the larger one's unit, so neither the exact nor the float
// sum is near a tie. A quotient of 11-bit numbers that is no tie of 12 bits is at least 2^-23
// (relative) from every tie, and the float quotient at most 2^-25 from it.

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

/// x op y rounded to fp16 (as floats); with `coerce` NaN operands are +inf, indeterminate results
/// and -0 are +0.
template <Binary op, bool coerce, bool away, class D, class V = hn::Vec<D>>
HWY_INLINE V combine(D d, V x, V y) {
    const V zero = hn::Zero(d);
    if constexpr (coerce) {
        x = hn::IfThenElse(hn::IsNaN(x), hn::Inf(d), x);
        y = hn::IfThenElse(hn::IsNaN(y), hn::Inf(d), y);
    }
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
    if constexpr (coerce) {
        result = hn::IfThenElse(hn::IsNaN(result), zero, result);
    }
    if constexpr (away) {
        result = round_away(d, result);
    } else {
        result = widen_bits(d, narrow_bits(d, result));
    }
    return coerce ? hn::Add(result, zero) : result;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
