#include "kernels/softmax.h"

// Vectors whose size the compiler does not know cannot be kept in arrays.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/convert.h"
#include "kernels/elementwise.h"
#include "kernels/layout.h"
#include "kernels/softmax_lines.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h: it is included once per target.
#include "hwy/contrib/math/math-inl.h"
#include "kernels/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

/// Up to one vector of halves from `from`, `filler` beyond `count`.
template <class D>
HWY_INLINE hn::Vec<D> load_some(D d, const fp16* from, std::int64_t count, fp16 filler) {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    if (count >= lanes) {
        return load_halves(d, from);
    }
    fp16 rest[max_lanes];
    std::fill(std::copy_n(from, count, rest), rest + lanes, filler);
    return load_halves(d, rest);
}

/// Largest element, NaN counting as +inf (or ignored without `coerce`).
float largest_of(const fp16* x, std::int64_t count, bool coerce) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    auto top = hn::Set(d, -HUGE_VALF);
    for (std::int64_t i = 0; i < count; i += lanes) {
        auto v = load_some(d, x + i, count - i, fp16{0xFC00});
        if (coerce) {
            v = operand<true>(d, v);
        }
        top = hn::IfThenElse(hn::Gt(v, top), v, top);
    }
    return hn::GetLane(hn::MaxOfLanes(d, top));
}

/// a + b rounded to fp16. With `positive` neither is NaN or negative; then rounding needs no care
/// below 2^-14: a sum of two fp16 values is a multiple of 2^-24 and so short enough there.
template <bool positive, bool away, class D, class V = hn::Vec<D>>
HWY_INLINE V add_halves(D d, V a, V b) {
    if constexpr (positive && away) {
        const hn::RebindToUnsigned<D> du;
        const auto carried = hn::Add(hn::BitCast(du, hn::Add(a, b)), hn::Set(du, 0x1000U));
        const V rounded = hn::BitCast(d, hn::And(carried, hn::Set(du, ~0x1FFFU)));
        return hn::IfThenElse(hn::Ge(rounded, hn::Set(d, 65536.0F)), hn::Inf(d), rounded);
    } else {
        return combine<Binary::add, positive, away>(d, a, b);
    }
}

/// sums[i] = (x0 + x1 + x2) + (x3 + x4 + x5) + (x6 + x7) of the eights of x, whole vectors of them.
template <bool positive, bool away>
void sum_eights(const fp16* x, std::int64_t eights, float* sums) {
    const hn::ScalableTag<float> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto add = [&](auto a, auto b) { return add_halves<positive, away>(d, a, b); };
    const auto low = [&](auto pair) { return widen_lanes(d, hn::And(pair, hn::Set(du, 0xFFFFU))); };
    const auto high = [&](auto pair) { return widen_lanes(d, hn::ShiftRight<16>(pair)); };
    for (std::int64_t i = 0; i < eights; i += lanes) {
        hn::Vec<decltype(du)> p01, p23, p45, p67;
        hn::LoadInterleaved4(du, reinterpret_cast<const std::uint32_t*>(x + 8 * i), p01, p23, p45,
                             p67);
        const auto first = add(add(low(p01), high(p01)), low(p23));
        const auto second = add(add(high(p23), low(p45)), high(p45));
        const auto third = add(low(p67), high(p67));
        hn::StoreU(add(add(first, second), third), d, sums + i);
    }
}

/// sums[i] = the four from sums[4 i] on, one after another; whole vectors of them.
template <bool positive, bool away>
void sum_fours(float* sums, std::int64_t fours) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (std::int64_t i = 0; i < fours; i += lanes) {
        hn::Vec<decltype(d)> v0, v1, v2, v3;
        hn::LoadInterleaved4(d, sums + 4 * i, v0, v1, v2, v3);
        const auto three = add_halves<positive, away>(d, add_halves<positive, away>(d, v0, v1), v2);
        hn::StoreU(add_halves<positive, away>(d, three, v3), d, sums + i);
    }
}

/// The sum inside softmax, not yet rounded. x is padded with zeros to a multiple of 8 max_lanes;
/// `sums` has room for an eighth of that and 4 max_lanes more.
template <bool positive, bool away>
double sum_row(const fp16* x, std::int64_t columns, float* sums) {
    const std::int64_t eights = (columns + 7) / 8, groups = (eights + 3) / 4;
    sum_eights<positive, away>(x, eights, sums);
    std::fill_n(sums + eights, 4 * hn::Lanes(hn::ScalableTag<float>()), 0.0F);
    sum_fours<positive, away>(sums, groups);
    double sum = 0.0;  // exact: multiples of 2^-24
    for (std::int64_t i = 0; i < groups; ++i) {
        sum += static_cast<double>(sums[i]);
    }
    return sum;
}

double sum_of(const fp16* x, std::int64_t columns, float* sums, bool coerce, bool away) {
    if (coerce) {
        return away ? sum_row<true, true>(x, columns, sums)
                    : sum_row<true, false>(x, columns, sums);
    }
    return away ? sum_row<false, true>(x, columns, sums) : sum_row<false, false>(x, columns, sums);
}

/// exp(x - top) into powers, which has room for whole vectors; returns their sum.
float exponentials(const fp16* x, std::int64_t columns, float top, bool coerce, float* powers) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    auto sum = hn::Zero(d);
    for (std::int64_t i = 0; i < columns; i += lanes) {
        auto v = load_some(d, x + i, columns - i, fp16{0xFC00});
        if (coerce) {
            v = operand<true>(d, v);
        }
        auto difference = hn::Sub(v, hn::Set(d, top));
        if (coerce) {  // inf - inf: the infinite elements share the mass
            difference = hn::IfThenElse(hn::IsNaN(difference), hn::Zero(d), difference);
        }
        auto power = hn::IfThenElse(hn::IsNaN(difference), difference, hn::Exp(d, difference));
        if (i + lanes > columns) {
            power = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(columns - i)), power);
        }
        hn::StoreU(power, d, powers + i);
        sum = hn::Add(sum, power);
    }
    return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(largest_of);
HWY_EXPORT(sum_of);
HWY_EXPORT(exponentials);

constexpr std::int64_t widest = 64;  ///< no vector has more floats

/// Memory of one call: a padded row and its partial sums.
struct Scratch {
    explicit Scratch(std::int64_t columns)
        : powers(static_cast<std::size_t>((columns + 8 * widest - 1) / (8 * widest) * 8 * widest)),
          sums(std::max(powers.size() / 8, static_cast<std::size_t>(columns)) + 8 * widest) {}

    std::vector<fp16> powers;  ///< zeros beyond the row
    std::vector<float> sums;
};

/// The sum, not yet rounded, where results are cut off: slow, for experiments only.
double truncated_sum(const std::vector<fp16>& x, const Numerics::Elementwise& rules) {
    const auto add = [&](fp16& sum, fp16 value) {
        binary(Binary::add, &sum, true, &value, true, &sum, 1, rules);
    };
    double sum = 0.0;
    for (std::size_t group = 0; group < x.size(); group += 32) {
        fp16 part{0};
        for (std::size_t i = group; i < group + 32; i += 8) {
            fp16 thirds[3] = {}, eight{0};
            for (std::size_t j = 0; j < 8; ++j) {
                add(thirds[j / 3], x[i + j]);
            }
            for (const fp16 third : thirds) {
                add(eight, third);
            }
            add(part, eight);
        }
        sum += static_cast<double>(to_float(part));
    }
    return sum;
}

void narrow_row(const fp16* x, fp16* y, std::int64_t columns, float top, Scratch& scratch,
                const SoftmaxTables& tables, const Numerics::Elementwise& rules) {
    const fp16 largest = pome::to_fp16(top, Rounding::nearest_even);  // exact
    fp16* powers = scratch.powers.data();
    binary(Binary::sub, x, false, &largest, true, powers, columns, rules);
    tables.exp.apply(powers, powers, columns);
    const double sum =
        rules.output == Rounding::toward_zero
            ? truncated_sum(scratch.powers, rules)
            : HWY_DYNAMIC_DISPATCH(sum_of)(powers, columns, scratch.sums.data(), rules.coerce_nan,
                                           rules.output == Rounding::nearest_away);
    const fp16 factor = tables.reciprocal(pome::to_fp16(sum, rules.output));
    binary(Binary::mul, powers, false, &factor, true, y, columns, rules);
}

void wide_row(const fp16* x, fp16* y, std::int64_t columns, float top, Scratch& scratch,
              const Numerics::Elementwise& rules) {
    float* powers = scratch.sums.data();
    const float sum = HWY_DYNAMIC_DISPATCH(exponentials)(x, columns, top, rules.coerce_nan, powers);
    for (std::int64_t i = 0; i < columns; ++i) {
        powers[i] /= sum;
    }
    to_fp16(powers, y, columns, rules.output);
}

void softmax_row(const fp16* x, fp16* y, std::int64_t columns, Scratch& scratch,
                 const SoftmaxTables& tables, const Numerics& numerics) {
    const Numerics::Elementwise& rules = numerics.elementwise;
    const float top = HWY_DYNAMIC_DISPATCH(largest_of)(x, columns, rules.coerce_nan);
    if (numerics.softmax.narrow) {
        narrow_row(x, y, columns, top, scratch, tables, rules);
    } else {
        wide_row(x, y, columns, top, scratch, rules);
    }
}

bool goes_by_lines(const SoftmaxTables& tables, const Numerics& numerics) {
    return numerics.softmax.narrow && numerics.elementwise.coerce_nan &&
           numerics.elementwise.output == Rounding::nearest_away && softmax_has_lines(tables);
}

}  // namespace

void softmax_rows(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                  const SoftmaxTables& tables, const Numerics& numerics) {
    if (goes_by_lines(tables, numerics)) {
        softmax_rows_by_lines(x, y, rows, columns, tables, [&](std::int64_t row) {
            Scratch scratch(columns);
            softmax_row(x + row * columns, y + row * columns, columns, scratch, tables, numerics);
        });
        return;
    }
    Scratch scratch(columns);
    for (std::int64_t row = 0; row < rows; ++row) {
        softmax_row(x + row * columns, y + row * columns, columns, scratch, tables, numerics);
    }
}

void softmax_columns(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                     std::int64_t stride, const SoftmaxTables& tables, const Numerics& numerics) {
    const auto as_rows = [&](std::int64_t first, std::int64_t some) {
        std::vector<fp16> memory(static_cast<std::size_t>(rows * some));
        transpose(x + first, stride, memory.data(), rows, rows, some);
        softmax_rows(memory.data(), memory.data(), some, rows, tables, numerics);
        transpose(memory.data(), rows, y + first, stride, some, rows);
    };
    if (goes_by_lines(tables, numerics)) {
        softmax_columns_by_lines(x, y, rows, columns, stride, tables, as_rows);
        return;
    }
    // As many columns at a time as stay in the second-level cache, but whole cache lines of them.
    constexpr std::int64_t elements = 1 << 17, least = 64, largest = 256;
    const std::int64_t most = std::clamp(elements / rows / least * least, least, largest);
    for (std::int64_t c = 0; c < columns; c += most) {
        as_rows(c, std::min(most, columns - c));
    }
}

}  // namespace pome::kernels
#endif
