#include "kernels/wide_rows.h"

#include <cmath>

#include "kernels/elementwise.h"
#include "kernels/reduction.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wide_rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/row_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if POME_ALIGNS_BY_ROUNDING

/// Halves that are stored as floats while they are read.
struct KeptRow {
    KeptRow(const fp16* x, std::int64_t count, float* floats) : halves(x, count), kept(floats) {}

    template <bool is_whole>
    HWY_INLINE void front(std::int64_t at, __m512* first, __m512* second) const {
        halves.front<is_whole>(at, first, second);
        _mm512_storeu_ps(kept + at, *first);
        _mm512_storeu_ps(kept + at + 16, *second);
    }
    template <bool is_whole>
    HWY_INLINE void back(std::int64_t at, __m512* third, __m512* fourth) const {
        halves.back<is_whole>(at, third, fourth);
        _mm512_storeu_ps(kept + at + 32, *third);
        _mm512_storeu_ps(kept + at + 48, *fourth);
    }

    HalvesRow halves;
    float* kept;
};

/// Kept floats from which a number is taken while they are read.
struct CentredRow {
    CentredRow(float* floats, std::int64_t elements, float number)
        : kept(floats), count(elements), subtrahend(_mm512_set1_ps(number)) {}

    /// x - subtrahend as fp16, in floats: half a unit is added to the magnitude and what is below
    /// the unit cut off. Finite values only. Differences below 2^-13 are halves already: both
    /// operands are multiples of 2^-24. From 65520 on it is no half but 65536, whose square is
    /// infinite.
    HWY_INLINE __m512 difference(__m512 x) const {
        const __m512i bits = _mm512_castps_si512(_mm512_sub_ps(x, subtrahend));
        return _mm512_castsi512_ps(_mm512_and_si512(
            _mm512_add_epi32(bits, _mm512_set1_epi32(0x1000)), _mm512_set1_epi32(~0x1FFF)));
    }
    /// The elements `k` of sixteen tiles; those behind the end stay zeros.
    template <bool is_whole>
    HWY_INLINE __m512 take(std::int64_t at, int k) const {
        __m512 left = difference(_mm512_loadu_ps(kept + at + 16 * k));
        if constexpr (!is_whole) {
            left =
                _mm512_maskz_mov_ps(static_cast<__mmask16>((1U << ((count - at) / 4)) - 1), left);
        }
        _mm512_storeu_ps(kept + at + 16 * k, left);
        return left;
    }
    template <bool is_whole>
    HWY_INLINE void front(std::int64_t at, __m512* first, __m512* second) const {
        *first = take<is_whole>(at, 0);
        *second = take<is_whole>(at, 1);
    }
    template <bool is_whole>
    HWY_INLINE void back(std::int64_t at, __m512* third, __m512* fourth) const {
        *third = take<is_whole>(at, 2);
        *fourth = take<is_whole>(at, 3);
    }

    float* kept;
    std::int64_t count;
    __m512 subtrahend;
};

#endif  // POME_ALIGNS_BY_ROUNDING

bool has_vectors() {
    return POME_ALIGNS_BY_ROUNDING != 0;
}

/// The sum of a row's elements or of their squares, the row being left in `kept`; false where it
/// takes the other way.
bool keep_row([[maybe_unused]] const fp16* x, [[maybe_unused]] std::int64_t count,
              [[maybe_unused]] bool squares, [[maybe_unused]] float* kept,
              [[maybe_unused]] double& sum) {
#if POME_ALIGNS_BY_ROUNDING
    const KeptRow row(x, count, kept);
    sum = squares ? sum_of_row<Terms::squares>(row, count) : sum_of_row<Terms::values>(row, count);
    return std::isfinite(sum);
#else
    return false;
#endif
}

/// The sum of the squares of a kept row from which `subtrahend`, finite, is taken; false where that
/// is infinite.
bool centre_row([[maybe_unused]] float* kept, [[maybe_unused]] std::int64_t count,
                [[maybe_unused]] float subtrahend, [[maybe_unused]] double& sum) {
#if POME_ALIGNS_BY_ROUNDING
    sum = sum_of_row<Terms::squares>(CentredRow(kept, count, subtrahend), count);
    return std::isfinite(sum);
#else
    return false;
#endif
}

/// y = the kept row times a finite number, rounded as combine_bits does, -0 as +0.
void multiply_row([[maybe_unused]] const float* kept, [[maybe_unused]] std::int64_t count,
                  [[maybe_unused]] float number, [[maybe_unused]] fp16* y) {
#if POME_ALIGNS_BY_ROUNDING
    const __m512i take_low = _mm512_load_si512(tile_order.low.data()),
                  take_high = _mm512_load_si512(tile_order.high.data()),
                  minus_zero = _mm512_set1_epi16(static_cast<std::int16_t>(0x8000));
    const __m512 factor = _mm512_set1_ps(number);
    // The elements from i on, of `some` times sixteen tiles: low halves, then high ones.
    const auto multiply = [&]<int some>(std::int64_t i, __m512i * results) HWY_ATTR
        __attribute__((always_inline)) {
        constexpr int vectors = 4 * some;
        __m512 products[vectors];
        __m256i halves[vectors];
        for (int k = 0; k < vectors; ++k) {
            products[k] = _mm512_mul_ps(_mm512_loadu_ps(kept + i + 16 * k), factor);
        }
        for (int k = 0; k < vectors; ++k) {
            const __m512i past_ties =
                _mm512_add_epi32(_mm512_castps_si512(products[k]), _mm512_set1_epi32(1));
            halves[k] = _mm512_cvtps_ph(_mm512_castsi512_ps(past_ties),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        }
        for (int k = 0; k < 2 * some; k += 2) {
            const auto join = [&](int from) HWY_ATTR __attribute__((always_inline)) {
                const __m512i both =
                    _mm512_inserti64x4(_mm512_castsi256_si512(halves[from]), halves[from + 1], 1);
                return _mm512_maskz_mov_epi16(_mm512_cmpneq_epu16_mask(both, minus_zero), both);
            };
            const __m512i fronts = join(2 * k), backs = join(2 * k + 2);
            results[k] = _mm512_permutex2var_epi16(fronts, take_low, backs);
            results[k + 1] = _mm512_permutex2var_epi16(fronts, take_high, backs);
        }
    };
    std::int64_t i = 0;
    for (; i + 2 * of_tiles <= count; i += 2 * of_tiles) {
        __m512i results[4];
        multiply.template operator()<2>(i, results);
        for (int k = 0; k < 4; ++k) {
            _mm512_storeu_si512(y + i + k * wide, results[k]);
        }
    }
    for (; i < count; i += of_tiles) {
        __m512i results[2];
        multiply.template operator()<1>(i, results);
        for (int k = 0; k < 2; ++k) {
            _mm512_mask_storeu_epi16(y + i + k * wide, first_halves(count - i - k * wide),
                                     results[k]);
        }
    }
#endif
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(keep_row);
HWY_EXPORT(centre_row);
HWY_EXPORT(multiply_row);

HWY_EXPORT(has_vectors);

constexpr std::int64_t padding = 64;          // elements of sixteen tiles
constexpr std::int64_t fewest_elements = 32;  // shorter rows would be padding mostly

}  // namespace

WideRows::WideRows(std::int64_t rows, std::int64_t count)
    : count_(count), padded_((count + padding - 1) / padding * padding) {
    places_.reserve(static_cast<std::size_t>(rows));
    if (count >= fewest_elements && count <= most_in_any_order && count % 4 == 0 &&
        HWY_DYNAMIC_DISPATCH(has_vectors)()) {
        floats_.resize(static_cast<std::size_t>(rows * padded_));
    }
}

bool WideRows::goes_by_vectors(const Numerics& numerics) const {
    return !floats_.empty() && squares_go_by_vectors(numerics);
}

const fp16* WideRows::halves_of(std::int64_t row) const {
    return places_[static_cast<std::size_t>(row)] == Place::source ? source_ + row * count_
                                                                   : halves_.data() + row * count_;
}

void WideRows::subtract_halves(std::int64_t row, const fp16* subtrahends,
                               const Numerics& numerics) {
    halves_.resize(places_.size() * static_cast<std::size_t>(count_));
    binary(Binary::sub, source_ + row * count_, false, subtrahends + row, true,
           halves_.data() + row * count_, count_, numerics.elementwise);
    places_[static_cast<std::size_t>(row)] = Place::halves;
}

void WideRows::keep(bool squares, const fp16* x, std::int64_t rows, bool is_mean, fp16* sums,
                    const Numerics& numerics) {
    source_ = x;
    places_.assign(static_cast<std::size_t>(rows), Place::source);
    const auto sum_source = [&](std::int64_t first, std::int64_t some) {
        const fp16* from = x + first * count_;
        if (squares) {
            reduce_squares(from, sums + first, some, count_, is_mean, numerics);
        } else {
            (is_mean ? reduce_mean : reduce_sum)(from, sums + first, some, count_, 1,
                                                 numerics.reduction);
        }
    };
    if (!goes_by_vectors(numerics)) {
        return sum_source(0, rows);
    }
    for (std::int64_t row = 0; row < rows; ++row) {
        double sum = 0.0;
        if (HWY_DYNAMIC_DISPATCH(keep_row)(x + row * count_, count_, squares, floats_of(row),
                                           sum)) {
            places_[static_cast<std::size_t>(row)] = Place::floats;
            finish_sums(&sum, 1, is_mean ? count_ : 0, sums + row, numerics.reduction);
        } else {
            sum_source(row, 1);
        }
    }
}

void WideRows::sum(const fp16* x, std::int64_t rows, bool is_mean, fp16* sums,
                   const Numerics& numerics) {
    keep(false, x, rows, is_mean, sums, numerics);
}

void WideRows::sum_squares(const fp16* x, std::int64_t rows, bool is_mean, fp16* sums,
                           const Numerics& numerics) {
    keep(true, x, rows, is_mean, sums, numerics);
}

void WideRows::subtract_and_sum_squares(const fp16* subtrahends, bool is_mean, fp16* sums,
                                        const Numerics& numerics) {
    const auto rows = static_cast<std::int64_t>(places_.size());
    if (!goes_by_vectors(numerics)) {
        for (std::int64_t row = 0; row < rows; ++row) {
            subtract_halves(row, subtrahends, numerics);
        }
        return reduce_squares(halves_.data(), sums, rows, count_, is_mean, numerics);
    }
    for (std::int64_t row = 0; row < rows; ++row) {
        const float subtrahend = to_float(subtrahends[row]);
        double sum = 0.0;
        if (places_[static_cast<std::size_t>(row)] == Place::floats && std::isfinite(subtrahend) &&
            HWY_DYNAMIC_DISPATCH(centre_row)(floats_of(row), count_, subtrahend, sum)) {
            finish_sums(&sum, 1, is_mean ? count_ : 0, sums + row, numerics.reduction);
            continue;
        }
        subtract_halves(row, subtrahends, numerics);
        reduce_squares(halves_of(row), sums + row, 1, count_, is_mean, numerics);
    }
}

void WideRows::multiply(const fp16* factors, fp16* y, const Numerics& numerics) const {
    std::vector<fp16> halves;
    for (std::int64_t row = 0; row < static_cast<std::int64_t>(places_.size()); ++row) {
        fp16* to = y + row * count_;
        const bool is_wide = places_[static_cast<std::size_t>(row)] == Place::floats;
        const float factor = to_float(factors[row]);
        if (is_wide && std::isfinite(factor)) {
            HWY_DYNAMIC_DISPATCH(multiply_row)(floats_of(row), count_, factor, to);
            continue;
        }
        const fp16* from = nullptr;
        if (is_wide) {  // times 1: the halves themselves
            halves.resize(static_cast<std::size_t>(count_));
            HWY_DYNAMIC_DISPATCH(multiply_row)(floats_of(row), count_, 1.0F, halves.data());
            from = halves.data();
        } else {
            from = halves_of(row);
        }
        binary(Binary::mul, from, false, factors + row, true, to, count_, numerics.elementwise);
    }
}

}  // namespace pome::kernels
#endif
