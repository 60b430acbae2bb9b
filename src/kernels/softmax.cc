#include "kernels/softmax.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/convert.h"
#include "kernels/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/elementwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

/// Largest element, NaN counting as +inf (or ignored without `coerce`).
float largest_of(const fp16* x, std::int64_t count, bool coerce) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    auto top = hn::Set(d, -HUGE_VALF);
    fp16 rest[max_lanes];
    for (std::int64_t i = 0; i < count; i += lanes) {
        const fp16* from = x + i;
        if (i + lanes > count) {
            std::fill(rest, rest + lanes, fp16{0xFC00});
            std::copy(x + i, x + count, rest);
            from = rest;
        }
        auto v = load_halves(d, from);
        if (coerce) {
            v = hn::IfThenElse(hn::IsNaN(v), hn::Inf(d), v);
        }
        top = hn::IfThenElse(hn::Gt(v, top), v, top);
    }
    return hn::GetLane(hn::MaxOfLanes(d, top));
}

/// Sums of four neighbours into `sums`, each step rounded to fp16, ties away; count / 4 of them.
void sums_of_four(const fp16* x, std::int64_t count, float* sums) {
    const hn::ScalableTag<float> d;
    const hn::Rebind<std::uint16_t, decltype(d)> du16;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t i = 0;
    for (; i + 4 * lanes <= count; i += 4 * lanes) {
        hn::Vec<decltype(du16)> v[4];
        hn::LoadInterleaved4(du16, reinterpret_cast<const std::uint16_t*>(x + i), v[0], v[1], v[2],
                             v[3]);
        auto sum = widen_bits(d, v[0]);
        for (int lane = 1; lane < 4; ++lane) {
            sum = combine<Binary::add, true, true>(d, sum, widen_bits(d, v[lane]));
        }
        hn::StoreU(sum, d, sums + i / 4);
    }
    const hn::CappedTag<float, 1> one;
    for (; i < count; i += 4) {
        float sum = to_float(x[i]);
        for (std::int64_t j = i + 1; j < std::min(i + 4, count); ++j) {
            sum = hn::GetLane(combine<Binary::add, true, true>(one, hn::Set(one, sum),
                                                               hn::Set(one, to_float(x[j]))));
        }
        sums[i / 4] = sum;
    }
}

/// sums[i] = sums[2 i] + sums[2 i + 1], an odd last one kept; returns how many are left.
std::int64_t add_pairs(float* sums, std::int64_t count) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
        hn::Vec<decltype(d)> even, odd;
        hn::LoadInterleaved2(d, sums + i, even, odd);
        hn::StoreU(combine<Binary::add, true, true>(d, even, odd), d, sums + i / 2);
    }
    const hn::CappedTag<float, 1> one;
    for (; i + 1 < count; i += 2) {
        sums[i / 2] = hn::GetLane(combine<Binary::add, true, true>(one, hn::Set(one, sums[i]),
                                                                   hn::Set(one, sums[i + 1])));
    }
    if (i < count) {
        sums[i / 2] = sums[i];
    }
    return (count + 1) / 2;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(largest_of);
HWY_EXPORT(sums_of_four);
HWY_EXPORT(add_pairs);

void wide_row(const fp16* x, fp16* y, std::int64_t columns, float top, std::vector<float>& powers,
              Rounding output) {
    to_float(x, powers.data(), columns);
    float sum = 0.0F;
    for (std::int64_t i = 0; i < columns; ++i) {
        float& power = powers[static_cast<std::size_t>(i)];
        const float difference = power - top;
        sum += power = std::exp(std::isnan(difference) ? 0.0F : difference);
    }
    for (std::int64_t i = 0; i < columns; ++i) {
        powers[static_cast<std::size_t>(i)] /= sum;
    }
    to_fp16(powers.data(), y, columns, output);
}

}  // namespace

void softmax_rows(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                  const SoftmaxTables& tables, const Numerics& numerics) {
    const auto& rules = numerics.elementwise;
    std::vector<float> sums(static_cast<std::size_t>(columns));
    for (std::int64_t row = 0; row < rows; ++row) {
        const fp16* from = x + row * columns;
        fp16* to = y + row * columns;
        const float top = HWY_DYNAMIC_DISPATCH(largest_of)(from, columns, rules.coerce_nan);
        if (!numerics.softmax.narrow) {
            wide_row(from, to, columns, top, sums, rules.output);
            continue;
        }
        const fp16 largest = pome::to_fp16(top, Rounding::nearest_away);
        binary(Binary::sub, from, false, &largest, true, to, columns, rules);
        tables.exp.apply(to, to, columns);
        HWY_DYNAMIC_DISPATCH(sums_of_four)(to, columns, sums.data());
        for (std::int64_t count = (columns + 3) / 4; count > 1;) {
            count = HWY_DYNAMIC_DISPATCH(add_pairs)(sums.data(), count);
        }
        const fp16 factor = tables.reciprocal(pome::to_fp16(sums[0], Rounding::nearest_away));
        binary(Binary::mul, to, false, &factor, true, to, columns, rules);
    }
}

}  // namespace pome::kernels
#endif
