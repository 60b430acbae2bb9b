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
#include "kernels/aligned_sum-inl.h"
#include "kernels/rounding-inl.h"
#include "kernels/row_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

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

#if POME_ALIGNS_BY_ROUNDING

/// Adds the whole tiles of four of these rows to the sums of 32 columns and returns how many rows
/// that were; none, and nothing added, where an element is no finite number or a square is none.
/// What follows, as many rows again, is fetched meanwhile.
template <Terms terms>
HWY_INLINE std::int64_t add_fast_tiles(const fp16* x, std::int64_t stride, std::int64_t rows,
                                       double* sums) {
    __m512d totals[4];
    for (int i = 0; i < 4; ++i) {
        totals[i] = _mm512_loadu_pd(sums + 8 * i);
    }
    std::int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        __m512 parts[2];
        const auto load = [&](int i, std::int64_t row) HWY_ATTR __attribute__((always_inline)) {
            if (i == 0) {
                _mm_prefetch(x + (row + rows) * stride, _MM_HINT_T1);
            }
            return _mm512_cvtph_ps(
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + row * stride + 16 * i)));
        };
        sums_of_tiles<terms, 2>(
            [&](int i, __m512* first, __m512* second) HWY_ATTR __attribute__((always_inline)) {
                *first = load(i, r);
                *second = load(i, r + 1);
            },
            [&](int i, __m512* third, __m512* fourth) HWY_ATTR __attribute__((always_inline)) {
                *third = load(i, r + 2);
                *fourth = load(i, r + 3);
            },
            parts);
        for (int i = 0; i < 2; ++i) {
            totals[2 * i] = _mm512_add_pd(totals[2 * i], low_doubles(parts[i]));
            totals[2 * i + 1] = _mm512_add_pd(totals[2 * i + 1], high_doubles(parts[i]));
        }
    }
    const hn::ScalableTag<double> d;
    for (const __m512d total : totals) {
        if (!hn::AllTrue(d, hn::IsFinite(hn::Vec<decltype(d)>{total}))) {
            return 0;
        }
    }
    for (int i = 0; i < 4; ++i) {
        _mm512_storeu_pd(sums + 8 * i, totals[i]);
    }
    return r;
}

double largest_magnitude(const fp16* x, std::int64_t count) {
    __m512i largest = _mm512_setzero_si512();
    for (std::int64_t i = 0; i < count; i += wide) {
        const __m512i bits = _mm512_maskz_loadu_epi16(first_halves(count - i), x + i);
        largest = _mm512_max_epu16(largest, _mm512_and_si512(bits, _mm512_set1_epi16(0x7FFF)));
    }
    const hn::ScalableTag<std::uint16_t> d;
    return to_float(fp16{hn::GetLane(hn::MaxOfLanes(d, hn::Vec<decltype(d)>{largest}))});
}

/// The tile sums of the whole tiles of a row, in any order: false if an element (or a square) is no
/// finite number, or if the order might matter (row_tiles-inl.h; small values may be more).
template <Terms terms>
bool add_tiles_of_row(const fp16* x, std::int64_t count, double& sum) {
    if (count > most_in_any_order) {
        const double most = largest_magnitude(x, count);
        const double term = terms == Terms::squares ? most * most : most;
        constexpr double below = 0x1p28;  // a square may have been rounded up a little
        if (!(term * static_cast<double>(count) <= below)) {
            return false;
        }
    }
    const std::int64_t whole = count / 4 * 4;
    sum = sum_of_row<terms>(HalvesRow(x, whole), whole);
    return std::isfinite(sum);
}

#endif  // POME_ALIGNS_BY_ROUNDING

/// Adds `rows` rows, tile by tile, to the sums of `columns` columns.
void add_tiles(const fp16* x, std::int64_t stride, std::int64_t rows, std::int64_t columns,
               int tile, int bits, double* sums) {
    std::int64_t done = 0;  // columns
#if POME_ALIGNS_BY_ROUNDING
    if (tile == 4 && bits == 11) {
        for (; done + wide <= columns; done += wide) {
            for (std::int64_t r =
                     add_fast_tiles<Terms::values>(x + done, stride, rows, sums + done);
                 r < rows; r += tile) {
                add_tile(x + r * stride + done, stride, std::min<std::int64_t>(tile, rows - r),
                         wide, bits, sums + done);
            }
        }
    }
#endif
    for (std::int64_t r = 0; r < rows && done < columns; r += tile) {
        add_tile(x + r * stride + done, stride, std::min<std::int64_t>(tile, rows - r),
                 columns - done, bits, sums + done);
    }
}

/// The sums of contiguous rows of tiles of 4.
void sum_rows(const fp16* x, std::int64_t rows, std::int64_t count, int bits, double* sums) {
    for (std::int64_t row = 0; row < rows; ++row) {
        const fp16* from = x + row * count;
#if POME_ALIGNS_BY_ROUNDING
        double sum = 0.0;
        if (bits == 11 && add_tiles_of_row<Terms::values>(from, count, sum)) {
            if (count % 4 != 0) {
                add_tile(from + count / 4 * 4, 1, count % 4, 1, bits, &sum);
            }
            sums[row] = sum;
            continue;
        }
#endif
        sums[row] = row_sum(from, count, bits);
    }
}

/// Adds the squares of whole tiles of four rows to the sums of 32 columns, as add_fast_tiles does.
std::int64_t add_squares([[maybe_unused]] const fp16* x, [[maybe_unused]] std::int64_t stride,
                         [[maybe_unused]] std::int64_t rows, [[maybe_unused]] double* sums) {
#if POME_ALIGNS_BY_ROUNDING
    return add_fast_tiles<Terms::squares>(x, stride, rows, sums);
#else
    return 0;
#endif
}

/// The sum of the squares of a row's whole tiles of four; false where the fast way cannot give it.
bool sum_squares_of_row([[maybe_unused]] const fp16* x, [[maybe_unused]] std::int64_t count,
                        [[maybe_unused]] double& sum) {
#if POME_ALIGNS_BY_ROUNDING
    return add_tiles_of_row<Terms::squares>(x, count, sum);
#else
    return false;
#endif
}

/// The largest element of a row, or the smallest; NaN counts as +inf.
float extreme_of(const fp16* x, std::int64_t count, bool largest) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    fp16 rest[max_lanes];
    std::fill_n(rest, lanes, *x);
    std::copy_n(x + count / lanes * lanes, count % lanes, rest);
    auto extreme = operand(d, rest);
    for (std::int64_t i = 0; i + lanes <= count; i += lanes) {
        const auto v = operand(d, x + i);
        extreme = largest ? hn::Max(extreme, v) : hn::Min(extreme, v);
    }
    return hn::GetLane(largest ? hn::MaxOfLanes(d, extreme) : hn::MinOfLanes(d, extreme));
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(add_tiles);
HWY_EXPORT(sum_rows);
HWY_EXPORT(add_squares);
HWY_EXPORT(sum_squares_of_row);
HWY_EXPORT(extreme_of);

double operand_of(fp16 x) {
    return is_nan(x) ? std::numeric_limits<double>::infinity() : static_cast<double>(to_float(x));
}

/// Sums of tiles hold two bits more than their fraction: up to this many a float holds them.
constexpr int most_float_bits = 22;

/// A tile's sum in double, for rules with more fraction bits than the vectors hold; element k is
/// x[k * stride].
double wide_tile_sum(const fp16* x, std::int64_t stride, std::int64_t count, int bits) {
    double part = operand_of(x[0]);
    for (std::int64_t k = 1; k < count; ++k) {
        const double next = operand_of(x[k * stride]);
        const double larger = std::max(std::fabs(part), std::fabs(next));
        if (larger == 0.0 || !std::isfinite(larger)) {
            part += next;
            continue;
        }
        const double unit = std::ldexp(1.0, std::ilogb(larger) - bits);
        part = std::trunc(part / unit) * unit + std::trunc(next / unit) * unit;
    }
    return part;
}

fp16 finish(double sum, const Numerics::Reduction& rules) {
    return std::isnan(sum) || sum == 0.0 ? fp16{0} : to_fp16(sum, rules.output);
}

/// Sums (count 0) or means of x [outer, count, inner].
void sum_all(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
             bool is_mean, const Numerics::Reduction& rules) {
    if (rules.narrow && inner == 1 && rules.tile == 4 &&
        rules.tile_fraction_bits <= most_float_bits) {
        constexpr std::int64_t most = 64;
        double sums[most];
        for (std::int64_t o = 0; o < outer; o += most) {
            const std::int64_t some = std::min(most, outer - o);
            HWY_DYNAMIC_DISPATCH(sum_rows)
            (x + o * count, some, count, rules.tile_fraction_bits, sums);
            finish_sums(sums, some, is_mean ? count : 0, y + o, rules);
        }
        return;
    }
    std::vector<double> sums(static_cast<std::size_t>(inner));
    for (std::int64_t o = 0; o < outer; ++o) {
        std::fill(sums.begin(), sums.end(), 0.0);
        add_to_sums(x + o * count * inner, inner, count, inner, rules, sums.data());
        finish_sums(sums.data(), inner, is_mean ? count : 0, y + o * inner, rules);
    }
}

template <Binary op>
void fold(const fp16* x, fp16* y, std::int64_t outer, std::int64_t count, std::int64_t inner,
          const Numerics::Elementwise& rules) {
    for (std::int64_t o = 0; o < outer; ++o) {
        const fp16* from = x + o * count * inner;
        fp16* to = y + o * inner;
        if (inner == 1 && rules.coerce_nan) {  // without NaN and -0 the order is free
            const float extreme =
                HWY_DYNAMIC_DISPATCH(extreme_of)(from, count, op == Binary::maximum);
            *to = to_fp16(extreme + 0.0F, Rounding::nearest_even);  // exact
            continue;
        }
        binary(op, from, false, from, false, to, inner,
               rules);  // max(x, x): coerces a lone element too
        for (std::int64_t k = 1; k < count; ++k) {
            binary(op, to, false, from + k * inner, false, to, inner, rules);
        }
    }
}

}  // namespace

bool squares_go_by_vectors(const Numerics& numerics) {
    return numerics.reduction.narrow && numerics.reduction.tile == 4 &&
           numerics.reduction.tile_fraction_bits == 11 && numerics.elementwise.coerce_nan &&
           numerics.elementwise.output == Rounding::nearest_away;
}

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
    if (rules.tile_fraction_bits > most_float_bits) {
        for (std::int64_t k = 0; k < rows; k += rules.tile) {
            const std::int64_t some = std::min<std::int64_t>(rules.tile, rows - k);
            for (std::int64_t i = 0; i < columns; ++i) {
                sums[i] +=
                    wide_tile_sum(x + k * stride + i, stride, some, rules.tile_fraction_bits);
            }
        }
        return;
    }
    HWY_DYNAMIC_DISPATCH(add_tiles)
    (x, stride, rows, columns, rules.tile, rules.tile_fraction_bits, sums);
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

void add_squares_to_sums(const fp16* x, std::int64_t stride, std::int64_t rows,
                         std::int64_t columns, const Numerics& numerics, double* sums) {
    constexpr std::int64_t wide = 32;
    const std::int64_t tile = numerics.reduction.narrow ? numerics.reduction.tile : 1;
    const bool fast = squares_go_by_vectors(numerics);
    std::vector<fp16> squares(static_cast<std::size_t>(tile * wide));
    for (std::int64_t c = 0; c < columns; c += wide) {
        const std::int64_t width = std::min(wide, columns - c);
        std::int64_t r = 0;
        if (fast && width == wide) {
            r = HWY_DYNAMIC_DISPATCH(add_squares)(x + c, stride, rows, sums + c);
        }
        while (r < rows) {
            const std::int64_t some = std::min(tile, rows - r);
            for (std::int64_t k = 0; k < some; ++k) {
                const fp16* from = x + (r + k) * stride + c;
                binary(Binary::mul, from, false, from, false, squares.data() + k * wide, width,
                       numerics.elementwise);
            }
            add_to_sums(squares.data(), wide, some, width, numerics.reduction, sums + c);
            r += some;
        }
    }
}

void reduce_squares(const fp16* x, fp16* y, std::int64_t rows, std::int64_t count, bool is_mean,
                    const Numerics& numerics) {
    const bool fast = squares_go_by_vectors(numerics);
    std::vector<fp16> squares;
    for (std::int64_t row = 0; row < rows; ++row) {
        const fp16* from = x + row * count;
        double sum = 0.0;
        if (fast && HWY_DYNAMIC_DISPATCH(sum_squares_of_row)(from, count, sum)) {
            const std::int64_t whole = count / 4 * 4;
            if (whole < count) {
                add_squares_to_sums(from + whole, 1, count - whole, 1, numerics, &sum);
            }
            finish_sums(&sum, 1, is_mean ? count : 0, y + row, numerics.reduction);
            continue;
        }
        squares.resize(static_cast<std::size_t>(count));
        binary(Binary::mul, from, false, from, false, squares.data(), count, numerics.elementwise);
        sum_all(squares.data(), y + row, 1, count, 1, is_mean, numerics.reduction);
    }
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
