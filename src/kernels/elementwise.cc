#include "kernels/elementwise.h"

// Vectors whose size the compiler does not know cannot be kept in arrays.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

/// Whether one of a vector of halves is an infinity or NaN.
template <class D16>
HWY_INLINE bool has_special(D16 d, hn::Vec<D16> bits) {
    const auto magnitude = hn::And(bits, hn::Set(d, std::uint16_t{0x7FFF}));
    return !hn::AllFalse(d, hn::Gt(magnitude, hn::Set(d, std::uint16_t{0x7BFF})));
}

/// The elements from the first on for which sums, differences or products need no care for special
/// values, two vectors at a time; returns how many. Of finite operands results are finite as
/// floats, so that only -0 is left to coerce.
template <Binary op, bool away>
std::int64_t run_finite(const fp16* x, bool x_is_scalar, const fp16* y, bool y_is_scalar, fp16* out,
                        std::int64_t count) {
    const hn::ScalableTag<float> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const hn::Rebind<std::uint16_t, decltype(d)> du16;
    const hn::Repartition<std::uint16_t, decltype(d)> both;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto as_bits = [](const fp16* at) { return reinterpret_cast<const std::uint16_t*>(at); };
    const auto special = [&](const fp16* at, bool is_scalar) HWY_ATTR {
        return has_special(both,
                           is_scalar ? hn::Set(both, at->bits) : hn::LoadU(both, as_bits(at)));
    };
    if ((x_is_scalar && special(x, true)) || (y_is_scalar && special(y, true))) {
        return 0;
    }
    const auto x_all = hn::Set(d, to_float(*x)), y_all = hn::Set(d, to_float(*y));
    const auto step = [&](std::int64_t at) HWY_ATTR {
        const auto a = x_is_scalar ? x_all : load_halves(d, x + at);
        const auto b = y_is_scalar ? y_all : load_halves(d, y + at);
        auto result = exact<op, false>(d, a, b);
        if constexpr (away) {  // as in combine_bits
            result = hn::BitCast(d, hn::Add(hn::BitCast(du, result), hn::Set(du, 1U)));
        }
        const auto halves = narrow_bits(d, result);
        return hn::IfThenZeroElse(hn::Eq(halves, hn::Set(du16, std::uint16_t{0x8000})), halves);
    };
    std::int64_t i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
        if ((!x_is_scalar && special(x + i, false)) || (!y_is_scalar && special(y + i, false))) {
            break;
        }
        const auto first = step(i), second = step(i + lanes);
        hn::StoreU(first, du16, reinterpret_cast<std::uint16_t*>(out + i));
        hn::StoreU(second, du16, reinterpret_cast<std::uint16_t*>(out + i + lanes));
    }
    return i;
}

#endif

template <Binary op, bool coerce, bool away>
void run(const fp16* x, bool x_is_scalar, const fp16* y, bool y_is_scalar, fp16* out,
         std::int64_t count) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    constexpr bool has_finite_way = HWY_TARGET != HWY_SCALAR && coerce &&
                                    (op == Binary::add || op == Binary::sub || op == Binary::mul);
    const fp16 x_value = *x, y_value = *y;  // out may be x or y
    const auto x_all = hn::Set(d, to_float(x_value)), y_all = hn::Set(d, to_float(y_value));
    const auto step = [&](const fp16* xs, const fp16* ys, fp16* to) HWY_ATTR {
        const auto a = x_is_scalar ? x_all : load_halves(d, xs);
        const auto b = y_is_scalar ? y_all : load_halves(d, ys);
        hn::StoreU(combine_bits<op, coerce, away>(d, a, b),
                   hn::Rebind<std::uint16_t, decltype(d)>(), reinterpret_cast<std::uint16_t*>(to));
    };
    std::int64_t i = 0;
    while (i + lanes <= count) {
#if HWY_TARGET != HWY_SCALAR
        if constexpr (has_finite_way) {
            i += run_finite<op, away>(x_is_scalar ? &x_value : x + i, x_is_scalar,
                                      y_is_scalar ? &y_value : y + i, y_is_scalar, out + i,
                                      count - i);
        }
#endif
        // What it stopped at, and what it does not take.
        const std::int64_t end = has_finite_way ? std::min(count, i + 2 * lanes) : count;
        for (; i + lanes <= end; i += lanes) {
            step(x + i, y + i, out + i);
        }
    }
    if (i < count) {
        fp16 xs[max_lanes] = {}, ys[max_lanes] = {}, results[max_lanes];
        if (!x_is_scalar) {
            std::copy(x + i, x + count, xs);
        }
        if (!y_is_scalar) {
            std::copy(y + i, y + count, ys);
        }
        step(xs, ys, results);
        std::copy_n(results, count - i, out + i);
    }
}

template <Binary op>
void run_with(const fp16* x, bool xs, const fp16* y, bool ys, fp16* out, std::int64_t count,
              const Numerics::Elementwise& rules) {
    const bool away = rules.output == Rounding::nearest_away;
    if (rules.coerce_nan) {
        away ? run<op, true, true>(x, xs, y, ys, out, count)
             : run<op, true, false>(x, xs, y, ys, out, count);
    } else {
        away ? run<op, false, true>(x, xs, y, ys, out, count)
             : run<op, false, false>(x, xs, y, ys, out, count);
    }
}

void binary_all(Binary op, const fp16* x, bool xs, const fp16* y, bool ys, fp16* out,
                std::int64_t count, const Numerics::Elementwise& rules) {
    switch (op) {
        case Binary::add:
            return run_with<Binary::add>(x, xs, y, ys, out, count, rules);
        case Binary::sub:
            return run_with<Binary::sub>(x, xs, y, ys, out, count, rules);
        case Binary::mul:
            return run_with<Binary::mul>(x, xs, y, ys, out, count, rules);
        case Binary::real_div:
            return run_with<Binary::real_div>(x, xs, y, ys, out, count, rules);
        case Binary::maximum:
            return run_with<Binary::maximum>(x, xs, y, ys, out, count, rules);
        case Binary::minimum:
            return run_with<Binary::minimum>(x, xs, y, ys, out, count, rules);
    }
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(binary_all);

/// Sums and products are exact in double; a quotient is nearer to no fp16 value than 2^-22
/// (relative) unless it is one, so double is as good as exact for cutting it off.
double exactly(Binary op, double x, double y) {
    switch (op) {
        case Binary::add:
            return x + y;
        case Binary::sub:
            return x - y;
        case Binary::mul:
            return x * y;
        case Binary::real_div:
            return x / y;
        case Binary::maximum:
            return x > y ? x : y;
        case Binary::minimum:
            return x < y ? x : y;
    }
    return 0.0;
}

/// Rounding toward zero, which a float between the exact result and fp16 would spoil: slow, for
/// experiments only.
fp16 truncated(Binary op, fp16 x, fp16 y, bool coerce) {
    const auto operand = [&](fp16 v) {
        return coerce && is_nan(v) ? std::numeric_limits<double>::infinity() : double{to_float(v)};
    };
    const bool signless_divisor = coerce && op == Binary::real_div;
    const double divisor = signless_divisor ? operand(y) + 0.0 : operand(y);
    const double result = exactly(op, operand(x), divisor);
    if (coerce && std::isnan(result)) {
        return fp16{0};
    }
    const fp16 rounded = to_fp16(result, Rounding::toward_zero);
    return coerce && is_zero(rounded) ? fp16{0} : rounded;
}

}  // namespace

void binary(Binary op, const fp16* x, bool x_is_scalar, const fp16* y, bool y_is_scalar, fp16* out,
            std::int64_t count, const Numerics::Elementwise& rules) {
    if (count <= 0) {
        return;
    }
    if (rules.output != Rounding::toward_zero) {
        HWY_DYNAMIC_DISPATCH(binary_all)(op, x, x_is_scalar, y, y_is_scalar, out, count, rules);
        return;
    }
    const fp16 x0 = *x, y0 = *y;  // out may be x or y
    for (std::int64_t i = 0; i < count; ++i) {
        out[i] = truncated(op, x_is_scalar ? x0 : x[i], y_is_scalar ? y0 : y[i], rules.coerce_nan);
    }
}

}  // namespace pome::kernels
#endif
