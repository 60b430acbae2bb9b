#include "kernels/reduction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduction.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/rounding-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

/// a + b, both cut to multiples of the unit that the larger one has at `bits` fraction bits. Exact
/// in float: 13 bits.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V aligned_sum(D d, V a, V b, int bits) {
    const hn::RebindToUnsigned<D> du;
    const V larger = hn::Max(hn::Abs(a), hn::Abs(b));
    const auto exponent = hn::And(hn::BitCast(du, larger), hn::Set(du, 0x7F800000U));
    const auto unit_bits = hn::Sub(exponent, hn::Set(du, static_cast<std::uint32_t>(bits) << 23));
    const V unit = hn::BitCast(d, unit_bits),
            inverse = hn::BitCast(d, hn::Sub(hn::Set(du, 254U << 23), unit_bits));
    const V cut = hn::Add(hn::Mul(hn::Trunc(hn::Mul(a, inverse)), unit),
                          hn::Mul(hn::Trunc(hn::Mul(b, inverse)), unit));
    const auto ordinary = hn::And(hn::Gt(larger, hn::Zero(d)), hn::Lt(larger, hn::Set(d, 1e30F)));
    return hn::IfThenElse(ordinary, cut, hn::Add(a, b));
}

template <class D>
HWY_INLINE hn::Vec<D> operand(D d, const fp16* x) {
    const auto v = load_halves(d, x);
    return hn::IfThenElse(hn::IsNaN(v), hn::Inf(d), v);
}

/// Adds the tile sums of `columns` neighbouring sums to `sums`; row r of the tile starts at x + r *
/// stride.
void add_tile(const fp16* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, int bits,
              double* sums) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    float parts[max_lanes];
    for (std::int64_t c = 0; c < columns; c += lanes) {
        const std::int64_t width = std::min(lanes, columns - c);
        fp16 rest[max_lanes] = {};
        auto part = hn::Zero(d);
        for (std::int64_t r = 0; r < rows; ++r) {
            const fp16* from = x + r * stride + c;
            if (width < lanes) {
                std::copy_n(from, width, rest);
                from = rest;
            }
            part = r == 0 ? operand(d, from) : aligned_sum(d, part, operand(d, from), bits);
        }
        hn::StoreU(part, d, parts);
        if (width == lanes) {
            for (std::size_t i = 0; i < HWY_LANES(float);
                 ++i) {  // a length that the compiler knows
                sums[c + static_cast<std::int64_t>(i)] += static_cast<double>(parts[i]);
            }
            continue;
        }
        for (std::int64_t i = 0; i < width; ++i) {
            sums[c + i] += static_cast<double>(parts[i]);
        }
    }
}

/// The tile sums of one contiguous row in order: tiles of 4 as lanes.
double row_sum(const fp16* x, std::int64_t count, int bits) {
    const hn::ScalableTag<float> d;
    const hn::Rebind<std::uint16_t, decltype(d)> du16;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    float parts[max_lanes];
    double sum = 0.0;
    std::int64_t i = 0;
    for (; i + 4 * lanes <= count; i += 4 * lanes) {
        hn::Vec<decltype(du16)> v[4];
        hn::LoadInterleaved4(du16, reinterpret_cast<const std::uint16_t*>(x + i), v[0], v[1], v[2],
                             v[3]);
        const auto get = [&](int lane) {
            const auto value = widen_bits(d, v[lane]);
            return hn::IfThenElse(hn::IsNaN(value), hn::Inf(d), value);
        };
        auto part = get(0);
        for (int lane = 1; lane < 4; ++lane) {
            part = aligned_sum(d, part, get(lane), bits);
        }
        hn::StoreU(part, d, parts);
        for (std::int64_t j = 0; j < lanes; ++j) {
            sum += static_cast<double>(parts[j]);
        }
    }
    for (; i < count; i += 4) {
        add_tile(x + i, 1, std::min<std::int64_t>(4, count - i), 1, bits, &sum);
    }
    return sum;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(add_tile);
HWY_EXPORT(row_sum);

double operand_of(fp16 x) {
    return is_nan(x) ? std::numeric_limits<double>::infinity() : static_cast<double>(to_float(x));
}

fp16 finish(double sum, const Numerics::Reduction& rules) {
    return std::isnan(sum) || sum == 0.0 ? fp16{0} : to_fp16(sum, rules.output);
}

/// Sums (count 0) or means of x [outer, count, inner].
void sum_all(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
             bool is_mean, const Numerics::Reduction& rules) {
    std::vector<double> sums(static_cast<std::size_t>(inner));
    for (std::int64_t o = 0; o < outer; ++o) {
        const fp16* from = x + o * count * inner;
        if (rules.narrow && inner == 1 && rules.tile == 4) {
            sums[0] = HWY_DYNAMIC_DISPATCH(row_sum)(from, count, rules.tile_fraction_bits);
        } else {
            std::fill(sums.begin(), sums.end(), 0.0);
            add_to_sums(from, inner, count, inner, rules, sums.data());
        }
        finish_sums(sums.data(), inner, is_mean ? count : 0, y + o * inner, rules);
    }
}

template <Binary op>
void fold(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
          const Numerics::Elementwise& rules) {
    for (std::int64_t o = 0; o < outer; ++o) {
        const fp16* from = x + o * count * inner;
        fp16* to = y + o * inner;
        binary(op, from, false, from, false, to, inner,
               rules);  // max(x, x): coerces a lone element too
        for (std::int64_t k = 1; k < count; ++k) {
            binary(op, to, false, from + k * inner, false, to, inner, rules);
        }
    }
}

}  // namespace

void add_to_sums(const fp16* x, std::int64_t stride, std::int64_t rows, std::int64_t columns,
                 const Numerics::Reduction& rules, double* sums) {
    if (!rules.narrow) {
        for (std::int64_t k = 0; k < rows; ++k) {
            for (std::int64_t i = 0; i < columns; ++i) {
                sums[i] += operand_of(x[k * stride + i]);
            }
        }
        return;
    }
    for (std::int64_t k = 0; k < rows; k += rules.tile) {
        HWY_DYNAMIC_DISPATCH(add_tile)
        (x + k * stride, stride, std::min<std::int64_t>(rules.tile, rows - k), columns,
         rules.tile_fraction_bits, sums);
    }
}

void finish_sums(const double* sums, std::int64_t columns, std::int64_t count, fp16* y,
                 const Numerics::Reduction& rules) {
    const float factor = count > 0 ? 1.0F / static_cast<float>(count) : 1.0F;
    for (std::int64_t i = 0; i < columns; ++i) {
        y[i] = finish(
            count > 0 ? static_cast<double>(static_cast<float>(sums[i]) * factor) : sums[i], rules);
    }
}

void reduce_sum(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
                const Numerics::Reduction& rules) {
    sum_all(x, y, outer, count, inner, false, rules);
}

void reduce_mean(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
                 const Numerics::Reduction& rules) {
    sum_all(x, y, outer, count, inner, true, rules);
}

void reduce_max(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
                const Numerics::Elementwise& rules) {
    fold<Binary::maximum>(x, y, outer, count, inner, rules);
}

void reduce_min(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
                const Numerics::Elementwise& rules) {
    fold<Binary::minimum>(x, y, outer, count, inner, rules);
}

}  // namespace pome::kernels
#endif
