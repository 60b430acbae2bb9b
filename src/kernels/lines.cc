#include "kernels/lines.h"

#include <algorithm>
#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lines.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/exponential-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if POME_PERMUTES_LINES

class SegmentRegisters {
  public:
    explicit SegmentRegisters(const Segments& form)
        : intercepts_(form.intercepts),
          slopes_(form.slopes),
          low_(_mm512_set1_ps(form.low)),
          high_(_mm512_set1_ps(form.high)),
          scale_(_mm512_set1_ps(line_count / (form.high - form.low))),
          // Beyond 2^23 the unit is 1: the lowest bits of the sum are the segment's number.
          offset_(_mm512_set1_ps(0x1.8p23F - form.low * (line_count / (form.high - form.low)))),
          below_{_mm512_set1_ps(form.below.intercept), _mm512_set1_ps(form.below.slope)},
          above_{_mm512_set1_ps(form.above.intercept), _mm512_set1_ps(form.above.slope)} {}

    /// Of `count` vectors, stage by stage: one after another, each would wait for itself. x is
    /// finite. The line is cut off toward zero and its last bit set: what is a tie between fp16
    /// values, or was cut off to one, then lies above it, what is below stays below, and rounding
    /// to even does the rest.
    template <bool odd, int count>
    HWY_INLINE void bits(const __m512* x, __m256i* results) const {
        const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80000000U));
        __m512 at[count], intercept[count], slope[count];
        __m512i index[count];
        for (int i = 0; i < count; ++i) {
            at[i] = odd ? _mm512_abs_ps(x[i]) : x[i];
            index[i] = _mm512_castps_si512(_mm512_fmadd_round_ps(at[i], scale_, offset_, down));
        }
        for (int i = 0; i < count; ++i) {
            intercept[i] = intercepts_(index[i]);
            slope[i] = slopes_(index[i]);
        }
        for (int i = 0; i < count; ++i) {
            if constexpr (!odd) {
                choose(_mm512_cmp_ps_mask(at[i], low_, _CMP_LE_OQ), below_, intercept[i], slope[i]);
            }
            choose(_mm512_cmp_ps_mask(at[i], high_, _CMP_GE_OQ), above_, intercept[i], slope[i]);
        }
        for (int i = 0; i < count; ++i) {
            const __m512 y = _mm512_fmadd_round_ps(at[i], slope[i], intercept[i], toward_zero);
            __m512i bits = _mm512_or_si512(_mm512_castps_si512(y), _mm512_set1_epi32(1));
            if constexpr (odd) {
                bits = _mm512_or_si512(bits, _mm512_and_si512(_mm512_castps_si512(x[i]), sign));
            }
            results[i] = _mm512_cvtps_ph(_mm512_castsi512_ps(bits),
                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        }
    }

  private:
    struct Line {
        __m512 intercept, slope;
    };

    static HWY_INLINE void choose(__mmask16 where, const Line& line, __m512& intercept,
                                  __m512& slope) {
        intercept = _mm512_mask_mov_ps(intercept, where, line.intercept);
        slope = _mm512_mask_mov_ps(slope, where, line.slope);
    }

    LineRegisters intercepts_, slopes_;
    __m512 low_, high_, scale_, offset_;
    Line below_, above_;
};

HWY_INLINE __m512 load(const fp16* x) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
}

HWY_INLINE void store_signless(__m256i bits, fp16* out) {
    const __mmask16 kept = _mm256_cmpneq_epi16_mask(bits, _mm256_set1_epi16(-0x8000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_maskz_mov_epi16(kept, bits));
}

constexpr int vectors = 4;  // at a time
constexpr std::int64_t step = 16 * vectors;

template <bool odd>
void run(const Segments& form, Results results, const fp16* x, fp16* out, std::int64_t count) {
    const SegmentRegisters lines(form);
    const __m512i magnitude = _mm512_set1_epi16(0x7FFF), largest = _mm512_set1_epi16(0x7BFF);
    std::int64_t i = 0;
    for (; i + step <= count; i += step) {
        const __m512i magnitudes =
            _mm512_max_epu16(_mm512_and_si512(_mm512_loadu_si512(x + i), magnitude),
                             _mm512_and_si512(_mm512_loadu_si512(x + i + 32), magnitude));
        if (_mm512_cmpgt_epu16_mask(magnitudes, largest) != 0) {
            for (std::int64_t j = i; j < i + step; ++j) {  // infinity or NaN
                out[j] = results[x[j].bits];
            }
            continue;
        }
        __m512 v[vectors];
        __m256i bits[vectors];
        for (int j = 0; j < vectors; ++j) {
            v[j] = load(x + i + 16 * j);
        }
        lines.bits<odd, vectors>(v, bits);
        for (int j = 0; j < vectors; ++j) {
            store_signless(bits[j], out + i + 16 * j);
        }
    }
    for (; i < count; ++i) {
        out[i] = results[x[i].bits];
    }
}

bool apply_segments(const Segments& form, Results results, const fp16* x, fp16* out,
                    std::int64_t count) {
    form.is_odd ? run<true>(form, results, x, out, count)
                : run<false>(form, results, x, out, count);
    return true;
}

bool apply_exponential(const Exponential& form, Results results, const fp16* x, fp16* out,
                       std::int64_t count) {
    const ExponentialRegisters lines(form);
    std::int64_t i = 0;
    const auto take = [&]<int at_a_time>() HWY_ATTR __attribute__((always_inline)) {
        __m512 v[at_a_time];
        __m256i bits[at_a_time];
        for (int j = 0; j < at_a_time; ++j) {
            v[j] = load(x + i + 16 * j);
        }
        lines.bits<Reach::any, at_a_time>(v, bits);
        for (int j = 0; j < at_a_time; ++j) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i + 16 * j), bits[j]);
        }
        i += 16 * at_a_time;
    };
    while (i + 2 * step <= count) {
        take.template operator()<2 * vectors>();
    }
    if (i + step <= count) {
        take.template operator()<vectors>();
    }
    for (; i < count; ++i) {
        out[i] = results[x[i].bits];
    }
    return true;
}

#else

bool apply_segments(const Segments&, Results, const fp16*, fp16*, std::int64_t) {
    return false;
}
bool apply_exponential(const Exponential&, Results, const fp16*, fp16*, std::int64_t) {
    return false;
}

#endif  // POME_PERMUTES_LINES

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(apply_segments);
HWY_EXPORT(apply_exponential);

double result_of(Results results, double x) {
    return to_float(results[to_fp16(x, Rounding::nearest_even).bits]);
}

/// What the knot at `edge` may be. The function itself may jump there to the line outside; then its
/// result next to the edge and the one at the next knot show it, to about a unit in the last place.
std::vector<double> knots_at(Results results, double edge, double next) {
    const double direct = result_of(results, edge);
    std::vector<double> knots{direct};
    fp16 beside = to_fp16(edge, Rounding::nearest_even);
    beside.bits =
        static_cast<std::uint16_t>(beside.bits - 1);  // toward zero: both edges are inside
    const double x = to_float(beside), y = result_of(results, x);
    const fp16 guess = to_fp16(y + (edge - x) * (result_of(results, next) - y) / (next - x),
                               Rounding::nearest_even);
    for (const int units : {0, -1, 1}) {
        const double knot = to_float(fp16{static_cast<std::uint16_t>(guess.bits + units)});
        if (!is_zero(beside) && std::isfinite(knot) && knot != direct) {
            knots.push_back(knot);
        }
    }
    return knots;
}

Segments::Line line_outside(Results results, double edge) {
    const double slope = (result_of(results, 2.0 * edge) - result_of(results, edge)) / edge;
    return {static_cast<float>(result_of(results, edge) - slope * edge), static_cast<float>(slope)};
}

/// The lines through 33 knots. None where a float does not hold them.
std::optional<Segments> through(const std::array<double, line_count + 1>& knots, Segments form) {
    const double low = form.low, width = (double{form.high} - low) / line_count;
    for (std::size_t i = 0; i < line_count; ++i) {
        const double slope = (knots[i + 1] - knots[i]) / width;
        const double intercept = knots[i] - slope * (low + static_cast<double>(i) * width);
        form.slopes[i] = static_cast<float>(slope);
        form.intercepts[i] = static_cast<float>(intercept);
        if (double{form.slopes[i]} != slope || double{form.intercepts[i]} != intercept) {
            return std::nullopt;
        }
    }
    return form;
}

/// By the rule of docs/softmax.md.
Exponential exponential_of(double factor) {
    const auto rounded = [](double value, int fraction_bits) {
        return std::ldexp(std::round(std::ldexp(value, fraction_bits)), -fraction_bits);
    };
    constexpr double width = 1.0 / static_cast<double>(line_count);
    Exponential form{};
    form.factor = static_cast<float>(factor);
    for (std::size_t i = 0; i < line_count; ++i) {
        const double begin = static_cast<double>(i) * width;
        const double first = std::exp2(begin), last = std::exp2(begin + width);
        const double slope = rounded((last - first) / width, 6);
        const double value =
            rounded((std::exp2(begin + 0.5 * width) + (first + last) / 2.0) / 2.0, 13);
        const double lacking = (static_cast<double>(i) - 8.0) * width;
        const std::size_t at = (i + line_count - 8) % line_count;
        form.slopes[at] = static_cast<float>(slope);
        form.intercepts[at] = static_cast<float>(value - 0.5 * width * slope - lacking + 0x1p-20);
    }
    return form;
}

/// Compares forms with all results of a function.
class Trial {
  public:
    explicit Trial(Results results) : results_(results), x_(results.size()), y_(results.size()) {
        for (std::size_t bits = 0; bits < x_.size(); ++bits) {
            x_[bits].bits = static_cast<std::uint16_t>(bits);
        }
    }

    template <typename Form>
    bool passes(const Form& form) {
        return apply(form, results_, x_.data(), y_.data(), static_cast<std::int64_t>(x_.size())) &&
               std::equal(y_.begin(), y_.end(), results_.begin());
    }

  private:
    Results results_;
    std::vector<fp16> x_, y_;
};

}  // namespace

bool apply(const Segments& form, Results results, const fp16* x, fp16* out, std::int64_t count) {
    return HWY_DYNAMIC_DISPATCH(apply_segments)(form, results, x, out, count);
}

bool apply(const Exponential& form, Results results, const fp16* x, fp16* out, std::int64_t count) {
    return HWY_DYNAMIC_DISPATCH(apply_exponential)(form, results, x, out, count);
}

std::optional<Segments> find_segments(Results results) {
    Segments any{};
    any.high = 1.0F;
    if (!apply(any, results, nullptr, nullptr, 0)) {
        return std::nullopt;  // no vector of this machine has a fast way
    }
    Trial trial(results);
    struct Range {
        float low, high;
    };
    for (const Range& range : {Range{-8.0F, 8.0F}, {-4.0F, 4.0F}, {0.0F, 4.0F}, {0.0F, 16.0F}}) {
        Segments form{};
        form.low = range.low;
        form.high = range.high;
        form.is_odd = range.low == 0.0F;
        form.above = line_outside(results, range.high);
        if (!form.is_odd) {
            form.below = line_outside(results, range.low);
        }
        const double low = range.low, width = (double{range.high} - low) / line_count;
        std::array<double, line_count + 1> knots{};
        for (std::size_t i = 0; i < knots.size(); ++i) {
            knots[i] = result_of(results, low + static_cast<double>(i) * width);
        }
        for (const double first : knots_at(results, low, low + width)) {
            for (const double last : knots_at(results, range.high, range.high - width)) {
                knots.front() = first;
                knots.back() = last;
                const auto found = through(knots, form);
                if (found && trial.passes(*found)) {
                    return found;
                }
            }
        }
    }
    return std::nullopt;
}

std::optional<Exponential> find_exponential(Results results) {
    if (!apply(Exponential{}, results, nullptr, nullptr, 0)) {
        return std::nullopt;
    }
    Trial trial(results);
    for (const double factor : {1.4423828125, 1.0}) {  // fp16(log2 e)
        const Exponential form = exponential_of(factor);
        if (trial.passes(form)) {
            return form;
        }
    }
    return std::nullopt;
}

}  // namespace pome::kernels
#endif
