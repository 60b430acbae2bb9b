#include "kernels/elementwise.h"

// Vectors whose size the compiler does not know cannot be kept in arrays.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

/// What a call's operands are. A square has no sign to take away, and one operand to load.
enum class Operands : std::uint8_t { both_whole, x_scalar, y_scalar, square };

/// Less than a vector of halves; the others are zeros.
struct SomeHalves {
    void load(const fp16* from, std::int64_t count) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
        const __m256i some =
            _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1U << count) - 1), from);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(halves), some);
#else
        std::copy_n(from, count, halves);
#endif
    }
    void store(fp16* to, std::int64_t count) const {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
        _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1U << count) - 1),
                                 _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
#else
        std::copy_n(halves, count, to);
#endif
    }

    fp16 halves[HWY_LANES(float)] = {};
};

#if HWY_TARGET != HWY_SCALAR

/// A vector of an operand: `all` where it is one element.
template <bool is_scalar, class D, class V = hn::Vec<D>>
HWY_INLINE V load_operand(D d, [[maybe_unused]] V all, [[maybe_unused]] const fp16* at) {
    if constexpr (is_scalar) {
        return all;
    } else {
        return load_halves(d, at);
    }
}

/// v with ties away from zero, or to even where `past_ties` is 0 (as combine_bits), as fp16.
template <class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<hn::Rebind<std::uint16_t, D>> rounded(
    D d, V v, hn::Vec<hn::RebindToUnsigned<D>> past_ties) {
    const hn::RebindToUnsigned<D> du;
    return narrow_bits(d, hn::BitCast(d, hn::Add(hn::BitCast(du, v), past_ties)));
}

/// Stores a vector of finite results, rounded; where there may be -0, as +0.
template <bool may_be_minus_zero, class D, class V = hn::Vec<D>>
HWY_INLINE void store_rounded(D d, V v, hn::Vec<hn::RebindToUnsigned<D>> past_ties, fp16* to) {
    const hn::Rebind<std::uint16_t, D> du16;
    auto halves = rounded(d, v, past_ties);
    if constexpr (may_be_minus_zero) {
        const auto minus_zero = hn::Set(du16, std::uint16_t{0x8000});
        halves = hn::IfThenZeroElse(hn::Eq(halves, minus_zero), halves);
    }
    hn::StoreU(halves, du16, reinterpret_cast<std::uint16_t*>(to));
}

/// The elements from the first on for which sums, differences or products need no care for special
/// values, `vectors` vectors at a time; returns how many. Of finite operands results are finite as
/// floats, so that only -0 is left to coerce; of others none is.
template <Binary op, Operands operands, int vectors>
HWY_INLINE std::int64_t run_finite(const fp16* x, hn::Vec<hn::ScalableTag<float>> x_all,
                                   const fp16* y, hn::Vec<hn::ScalableTag<float>> y_all, fp16* out,
                                   std::int64_t count,
                                   hn::Vec<hn::ScalableTag<std::uint32_t>> past_ties) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d)), step = vectors * lanes;
    std::int64_t i = 0;
    for (; i + step <= count; i += step) {
        hn::Vec<decltype(d)> results[vectors];
        auto special = hn::Zero(d);  // NaN as soon as a result is no number
        for (int j = 0; j < vectors; ++j) {
            const std::int64_t at = i + j * lanes;
            const auto first = load_operand<operands == Operands::x_scalar>(d, x_all, x + at);
            if constexpr (operands == Operands::square) {
                results[j] = exact<op, false>(d, first, first);
            } else {
                results[j] = exact<op, false>(
                    d, first, load_operand<operands == Operands::y_scalar>(d, y_all, y + at));
            }
            special = hn::MulAdd(results[j], hn::Zero(d), special);
        }
        if (!hn::AllFalse(d, hn::IsNaN(special))) {
            break;
        }
        for (int j = 0; j < vectors; ++j) {
            store_rounded<operands != Operands::square>(d, results[j], past_ties,
                                                        out + i + j * lanes);
        }
    }
    return i;
}

/// x factor + y in the same way: what is not finite on the way to a result makes that no number.
template <bool y_is_scalar, int vectors>
HWY_INLINE std::int64_t run_scaled(const fp16* x, hn::Vec<hn::ScalableTag<float>> factor,
                                   const fp16* y, hn::Vec<hn::ScalableTag<float>> y_all, fp16* out,
                                   std::int64_t count,
                                   hn::Vec<hn::ScalableTag<std::uint32_t>> past_ties) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d)), step = vectors * lanes;
    std::int64_t i = 0;
    for (; i + step <= count; i += step) {
        hn::Vec<decltype(d)> results[vectors];
        auto special = hn::Zero(d);
        for (int j = 0; j < vectors; ++j) {
            const auto product = hn::Mul(load_halves(d, x + i + j * lanes), factor);
            results[j] = widen_bits(d, rounded(d, product, past_ties));
        }
        for (int j = 0; j < vectors; ++j) {
            results[j] =
                hn::Add(results[j], load_operand<y_is_scalar>(d, y_all, y + i + j * lanes));
            special = hn::MulAdd(results[j], hn::Zero(d), special);
        }
        if (!hn::AllFalse(d, hn::IsNaN(special))) {
            break;
        }
        for (int j = 0; j < vectors; ++j) {
            store_rounded<true>(d, results[j], past_ties, out + i + j * lanes);
        }
    }
    return i;
}

/// The elements from the first on that go by vectors; `coerce` is understood.
template <bool y_is_scalar>
std::int64_t scaled_by_vectors(const fp16* x, fp16 factor, const fp16* y, fp16* out,
                               std::int64_t count, bool away) {
    const hn::ScalableTag<float> d;
    const hn::Rebind<std::uint16_t, decltype(d)> du16;
    const auto past_ties = hn::Set(hn::RebindToUnsigned<decltype(d)>(), away ? 1U : 0U);
    const auto factors = widen_bits(d, hn::Set(du16, factor.bits)),
               y_all = widen_bits(d, hn::Set(du16, y->bits));
    std::int64_t i = 0;
    const auto take = [&]<int vectors>() HWY_ATTR {
        i += run_scaled<y_is_scalar, vectors>(x + i, factors, y_is_scalar ? y : y + i, y_all,
                                              out + i, count - i, past_ties);
    };
    take.template operator()<8>();
    take.template operator()<1>();
    return i;
}

std::int64_t scaled(const fp16* x, fp16 factor, const fp16* y, bool y_is_scalar, fp16* out,
                    std::int64_t count, bool away) {
    return (y_is_scalar ? scaled_by_vectors<true> : scaled_by_vectors<false>)(x, factor, y, out,
                                                                              count, away);
}

#else

std::int64_t scaled(const fp16*, fp16, const fp16*, bool, fp16*, std::int64_t, bool) {
    return 0;
}

#endif

template <Binary op, bool coerce, Operands operands>
void run(const fp16* x, const fp16* y, fp16* out, std::int64_t count, bool away) {
    constexpr bool x_is_scalar = operands == Operands::x_scalar;
    constexpr bool y_is_scalar = operands == Operands::y_scalar;
    const hn::ScalableTag<float> d;
    const auto past_ties = hn::Set(hn::RebindToUnsigned<decltype(d)>(), away ? 1U : 0U);
    const hn::Rebind<std::uint16_t, decltype(d)> du16;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto x_all = widen_bits(d, hn::Set(du16, x->bits)),
               y_all = widen_bits(d, hn::Set(du16, y->bits));  // out may be x or y
    const auto step = [&](const fp16* xs, const fp16* ys, fp16* to) HWY_ATTR {
        const auto a = x_is_scalar ? x_all : load_halves(d, xs);
        const auto b = y_is_scalar ? y_all : load_halves(d, ys);
        hn::StoreU(combine_bits<op, coerce>(d, a, b, past_ties), du16,
                   reinterpret_cast<std::uint16_t*>(to));
    };
    std::int64_t i = 0;
    while (i + lanes <= count) {
        std::int64_t end = count;
#if HWY_TARGET != HWY_SCALAR
        if constexpr (coerce && (op == Binary::add || op == Binary::sub || op == Binary::mul)) {
            constexpr int vectors = 8;
            const auto take = [&]<int at_a_time>() HWY_ATTR {
                i += run_finite<op, operands, at_a_time>(x_is_scalar ? x : x + i, x_all,
                                                         y_is_scalar ? y : y + i, y_all, out + i,
                                                         count - i, past_ties);
            };
            take.template operator()<vectors>();
            if (count - i < vectors * lanes) {
                take.template operator()<vectors / 4>();
                take.template operator()<1>();
            }
            end = std::min(count, i + vectors * lanes);  // what it stopped at
        }
#endif
        for (; i + lanes <= end; i += lanes) {
            step(x + i, y + i, out + i);
        }
    }
    if (i < count) {
        SomeHalves xs, ys, results;
        if (!x_is_scalar) {
            xs.load(x + i, count - i);
        }
        if (!y_is_scalar) {
            ys.load(y + i, count - i);
        }
        step(xs.halves, ys.halves, results.halves);
        results.store(out + i, count - i);
    }
}

/// Without `coerce`, which no chip is, both operands are whole.
template <Binary op>
void run_with(const fp16* x, bool x_is_scalar, const fp16* y, bool y_is_scalar, fp16* out,
              std::int64_t count, const Numerics::Elementwise& rules) {
    const bool away = rules.output == Rounding::nearest_away;
    if (!rules.coerce_nan) {
        return run<op, false, Operands::both_whole>(x, y, out, count, away);
    }
    if (x_is_scalar) {
        return run<op, true, Operands::x_scalar>(x, y, out, count, away);
    }
    if (y_is_scalar) {
        return run<op, true, Operands::y_scalar>(x, y, out, count, away);
    }
    if constexpr (op == Binary::mul) {
        if (x == y) {
            return run<op, true, Operands::square>(x, y, out, count, away);
        }
    }
    run<op, true, Operands::both_whole>(x, y, out, count, away);
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
HWY_EXPORT(scaled);

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
    if (x_is_scalar && y_is_scalar) {
        binary(op, x, false, y, false, out, 1, rules);
        std::fill(out + 1, out + count, *out);
        return;
    }
    const fp16 x0 = *x, y0 = *y;  // out may be x or y
    if (rules.output == Rounding::toward_zero) {
        for (std::int64_t i = 0; i < count; ++i) {
            out[i] =
                truncated(op, x_is_scalar ? x0 : x[i], y_is_scalar ? y0 : y[i], rules.coerce_nan);
        }
        return;
    }
    if (rules.coerce_nan || !(x_is_scalar || y_is_scalar)) {
        HWY_DYNAMIC_DISPATCH(binary_all)(op, x, x_is_scalar, y, y_is_scalar, out, count, rules);
        return;
    }
    std::array<fp16, 256> scalar;
    scalar.fill(x_is_scalar ? x0 : y0);
    constexpr auto at_once = static_cast<std::int64_t>(scalar.size());
    for (std::int64_t i = 0; i < count; i += at_once) {
        HWY_DYNAMIC_DISPATCH(binary_all)
        (op, x_is_scalar ? scalar.data() : x + i, false, y_is_scalar ? scalar.data() : y + i, false,
         out + i, std::min(at_once, count - i), rules);
    }
}

void scaled_sum(const fp16* x, fp16 factor, const fp16* y, bool y_is_scalar, fp16* out,
                std::int64_t count, const Numerics::Elementwise& rules) {
    const fp16 y0 = *y;  // out may be y
    const bool by_vectors = rules.coerce_nan && rules.output != Rounding::toward_zero;
    std::array<fp16, 256> products;
    for (std::int64_t i = 0; i < count;) {
        const fp16* rest = y_is_scalar ? &y0 : y + i;
        if (by_vectors) {
            i += HWY_DYNAMIC_DISPATCH(scaled)(x + i, factor, rest, y_is_scalar, out + i, count - i,
                                              rules.output == Rounding::nearest_away);
            if (i == count) {
                return;
            }
            rest = y_is_scalar ? &y0 : y + i;
        }
        // What stopped it, or the last few.
        const std::int64_t some = std::min(count - i, static_cast<std::int64_t>(products.size()));
        binary(Binary::mul, x + i, false, &factor, true, products.data(), some, rules);
        binary(Binary::add, products.data(), false, rest, y_is_scalar, out + i, some, rules);
        i += some;
    }
}

}  // namespace pome::kernels
#endif
