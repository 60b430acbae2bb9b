#include "kernels/elementwise.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

template <Binary op, bool coerce, bool away>
void run(const fp16* x, bool x_is_scalar, const fp16* y, bool y_is_scalar, fp16* out,
         std::int64_t count) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto x_all = hn::Set(d, to_float(*x)), y_all = hn::Set(d, to_float(*y));
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const auto a = x_is_scalar ? x_all : load_halves(d, x + i),
                   b = y_is_scalar ? y_all : load_halves(d, y + i);
        store_halves(d, combine<op, coerce, away>(d, a, b), out + i);
    }
    if (i < count) {
        fp16 xs[max_lanes] = {}, ys[max_lanes] = {}, results[max_lanes];
        if (!x_is_scalar) {
            std::copy(x + i, x + count, xs);
        }
        if (!y_is_scalar) {
            std::copy(y + i, y + count, ys);
        }
        const auto a = x_is_scalar ? x_all : load_halves(d, xs),
                   b = y_is_scalar ? y_all : load_halves(d, ys);
        store_halves(d, combine<op, coerce, away>(d, a, b), results);
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

HWY_EXPORT(binary_all);

void binary(Binary op, const fp16* x, bool x_is_scalar, const fp16* y, bool y_is_scalar, fp16* out,
            std::int64_t count, const Numerics::Elementwise& rules) {
    if (count > 0) {
        HWY_DYNAMIC_DISPATCH(binary_all)(op, x, x_is_scalar, y, y_is_scalar, out, count, rules);
    }
}

}  // namespace pome::kernels
#endif
