#include "kernels/softmax_lines.h"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_lines.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/exponential-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if POME_PERMUTES_LINES

constexpr std::int64_t wide = 32;   // halves of a vector
constexpr std::int64_t group = 32;  // elements of a sum that is rounded step by step

/// Largest and smallest of 16-bit integers whose order is that of the fp16 values (-0 below +0; NaN
/// beyond the infinity of its sign).
struct Extremes {
    // Written out: a constructor that the compiler makes does not have the target's vectors.
    HWY_INLINE Extremes()
        : largest(_mm512_set1_epi16(-0x8000)), smallest(_mm512_set1_epi16(0x7FFF)) {}

    /// `kept`: the lanes that count.
    HWY_INLINE void take(__m512i bits, __mmask32 kept = ~__mmask32{0}) {
        const __m512i order = ordered(bits);
        largest = _mm512_mask_max_epi16(largest, kept, largest, order);
        smallest = _mm512_mask_min_epi16(smallest, kept, smallest, order);
    }
    /// The map between bits and ordered integers, either way.
    static HWY_INLINE __m512i ordered(__m512i bits) {
        return _mm512_xor_si512(bits, _mm512_srli_epi16(_mm512_srai_epi16(bits, 15), 1));
    }

    __m512i largest, smallest;
};

/// Whether the largest element is finite and no element is a NaN: the rest needs no special values
/// then. -inf is an ordinary element.
constexpr int infinity = 0x7C00, minus_infinity = ~0x7C00;
bool is_ordinary(int largest, int smallest) {
    return largest < infinity && smallest >= minus_infinity && largest > minus_infinity;
}

fp16 value_of(int order) {
    return fp16{static_cast<std::uint16_t>(order < 0 ? order ^ 0x7FFF : order)};
}

HWY_INLINE __m256i load_bits(const fp16* x) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
}
HWY_INLINE void store_bits(__m256i bits, fp16* y) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), bits);
}
HWY_INLINE __mmask32 first_halves(std::int64_t count) {
    return count >= wide ? ~__mmask32{0} : static_cast<__mmask32>((std::uint64_t{1} << count) - 1);
}
HWY_INLINE __mmask16 first_of(std::int64_t count) {
    return count >= 16 ? static_cast<__mmask16>(~0U) : static_cast<__mmask16>((1U << count) - 1);
}

/// a + b of fp16 values of at least 0 that stay in the range, rounded to fp16. Below 2^-14 a sum is
/// a multiple of 2^-24 and short enough.
HWY_INLINE __m512 add(__m512 a, __m512 b) {
    return ExponentialRegisters::round(_mm512_add_ps(a, b));
}

/// (x0 + x1 + x2) + (x3 + x4 + x5) + (x6 + x7).
HWY_INLINE __m512 sum_of_eight(const __m512* x) {
    return add(add(add(add(x[0], x[1]), x[2]), add(add(x[3], x[4]), x[5])), add(x[6], x[7]));
}

/// An exponential times the reciprocal, both of at least 0: exact in float, and so never nearer to
/// a tie than two units of its last place unless it is one: one unit more moves ties only.
HWY_INLINE __m256i product(__m256i power, __m512 factor) {
    const __m512i exact = _mm512_castps_si512(_mm512_mul_ps(_mm512_cvtph_ps(power), factor));
    const __m512 moved = _mm512_castsi512_ps(_mm512_add_epi32(exact, _mm512_set1_epi32(1)));
    return _mm512_cvtps_ph(moved, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/// 16 vectors of 16 lanes: lane i of v[j] and lane j of v[i] change places.
HWY_INLINE void transpose(__m512i* v) {
    __m512i pairs[16], fours[16];
    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        const __m512i low0 = _mm512_shuffle_i32x4(fours[i], fours[i + 4], 0x88),
                      high0 = _mm512_shuffle_i32x4(fours[i], fours[i + 4], 0xDD),
                      low1 = _mm512_shuffle_i32x4(fours[i + 8], fours[i + 12], 0x88),
                      high1 = _mm512_shuffle_i32x4(fours[i + 8], fours[i + 12], 0xDD);
        v[i] = _mm512_shuffle_i32x4(low0, low1, 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(low0, low1, 0xDD);
        v[i + 4] = _mm512_shuffle_i32x4(high0, high1, 0x88);
        v[i + 12] = _mm512_shuffle_i32x4(high0, high1, 0xDD);
    }
}

/// sums[i] = the sum of group i of x, of sixteen groups, as floats.
HWY_INLINE void sum_groups(const fp16* x, float* sums) {
    __m512i pairs[16];
    for (int i = 0; i < 16; ++i) {
        pairs[i] = _mm512_loadu_si512(x + i * group);
    }
    transpose(pairs);
    // The bits of a half where a float has them: the value times 2^-112, sums and their rounding
    // alike.
    __m512 part{};
    for (int eight = 0; eight < 4; ++eight) {
        __m512 v[8];
        for (int i = 0; i < 4; ++i) {
            const __m512i both = pairs[4 * eight + i];
            v[2 * i] = _mm512_castsi512_ps(
                _mm512_slli_epi32(_mm512_and_si512(both, _mm512_set1_epi32(0xFFFF)), 13));
            v[2 * i + 1] = _mm512_castsi512_ps(
                _mm512_and_si512(_mm512_srli_epi32(both, 3), _mm512_set1_epi32(0x0FFFE000)));
        }
        const __m512 sum = sum_of_eight(v);
        part = eight == 0 ? sum : add(part, sum);
    }
    _mm512_storeu_ps(sums, _mm512_mul_ps(part, _mm512_set1_ps(0x1p112F)));
}

/// The largest element of a row if the row is ordinary.
bool find_largest(const fp16* x, std::int64_t columns, fp16& largest) {
    Extremes extremes;
    std::int64_t i = 0;
    for (; i + wide <= columns; i += wide) {
        extremes.take(_mm512_loadu_si512(x + i));
    }
    if (i < columns) {
        const __mmask32 kept = first_halves(columns - i);
        extremes.take(_mm512_maskz_loadu_epi16(kept, x + i), kept);
    }
    const hwy::HWY_NAMESPACE::ScalableTag<std::int16_t> d;
    namespace hn = hwy::HWY_NAMESPACE;
    const hn::Vec<decltype(d)> high{extremes.largest}, low{extremes.smallest};
    const int top = hn::GetLane(hn::MaxOfLanes(d, high)),
              least = hn::GetLane(hn::MinOfLanes(d, low));
    largest = value_of(top);
    return is_ordinary(top, least);
}

/// 2^((x - top) log2 e) of `count` vectors of fp16 bits.
template <int count>
HWY_INLINE void powers_of(const ExponentialRegisters& exponential, __m256i* bits, __m512 top) {
    __m512 differences[count];
    for (int i = 0; i < count; ++i) {
        differences[i] = ExponentialRegisters::round(
            _mm512_fmsub_ps(_mm512_cvtph_ps(bits[i]), _mm512_set1_ps(1.0F), top));
    }
    exponential.bits<true, count>(differences, bits);
}

/// powers = 2^((x - largest) log2 e), zeros up to the next whole group.
void exponentials(ExponentialRegisters exponential, const fp16* x, std::int64_t columns,
                  fp16 largest, fp16* powers) {
    const __m512 top = _mm512_set1_ps(to_float(largest));
    __m256i v[4];
    std::int64_t i = 0;
    for (; i + 64 <= columns; i += 64) {
        for (int j = 0; j < 4; ++j) {
            v[j] = load_bits(x + i + 16 * j);
        }
        powers_of<4>(exponential, v, top);
        for (int j = 0; j < 4; ++j) {
            store_bits(v[j], powers + i + 16 * j);
        }
    }
    for (; i < (columns + group - 1) / group * group; i += 16) {
        const __mmask16 kept = first_of(std::max<std::int64_t>(0, columns - i));
        v[0] = _mm256_maskz_loadu_epi16(kept, x + i);
        powers_of<1>(exponential, v, top);
        store_bits(_mm256_maskz_mov_epi16(kept, v[0]), powers + i);
    }
}

void products(const fp16* powers, fp16 factor, std::int64_t columns, fp16* y) {
    const __m512 by = _mm512_set1_ps(to_float(factor));
    std::int64_t i = 0;
    for (; i + 16 <= columns; i += 16) {
        store_bits(product(load_bits(powers + i), by), y + i);
    }
    if (i < columns) {
        _mm256_mask_storeu_epi16(y + i, first_of(columns - i), product(load_bits(powers + i), by));
    }
}

fp16 reciprocal(const SoftmaxTables& tables, double sum) {
    return tables.reciprocal(to_fp16(sum, Rounding::nearest_away));
}

void rows_by_lines(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                   const SoftmaxTables& tables, const std::function<void(std::int64_t row)>& rest) {
    constexpr std::int64_t block = 8192;  // elements: powers that stay in the nearest cache
    const std::int64_t groups = (columns + group - 1) / group, pitch = groups * group;
    const std::int64_t most = std::clamp<std::int64_t>(block / pitch, 1, rows);
    const std::int64_t padded = (most * groups + 15) / 16 * 16;
    std::vector<fp16> powers(static_cast<std::size_t>(padded * group));
    std::vector<float> sums(static_cast<std::size_t>(padded));
    std::vector<char> ordinary(static_cast<std::size_t>(most));
    const ExponentialRegisters exponential(*tables.exp.exponential());
    for (std::int64_t begin = 0; begin < rows; begin += most) {
        const std::int64_t some = std::min(most, rows - begin);
        for (std::int64_t row = 0; row < some; ++row) {
            const fp16* from = x + (begin + row) * columns;
            fp16 largest{0};
            ordinary[static_cast<std::size_t>(row)] = find_largest(from, columns, largest) ? 1 : 0;
            if (ordinary[static_cast<std::size_t>(row)] != 0) {
                exponentials(exponential, from, columns, largest, powers.data() + row * pitch);
            }
        }
        for (std::int64_t i = 0; i < some * groups; i += 16) {
            sum_groups(powers.data() + i * group, sums.data() + i);
        }
        for (std::int64_t row = 0; row < some; ++row) {
            if (ordinary[static_cast<std::size_t>(row)] == 0) {
                rest(begin + row);
                continue;
            }
            double sum = 0.0;  // exact: multiples of 2^-24
            for (std::int64_t i = row * groups; i < (row + 1) * groups; ++i) {
                sum += static_cast<double>(sums[static_cast<std::size_t>(i)]);
            }
            products(powers.data() + row * pitch, reciprocal(tables, sum), columns,
                     y + (begin + row) * columns);
        }
    }
}

/// A few columns, their elements copied together: rows of a large tensor lie so far apart that a
/// cache holds few of them.
class Columns {
  public:
    Columns(std::int64_t rows, std::int64_t columns)
        : rows_(rows),
          columns_(columns),
          pitch_((columns + wide - 1) / wide * wide),
          values_(static_cast<std::size_t>(rows * pitch_)),
          tops_(static_cast<std::size_t>(pitch_)),
          sums_(static_cast<std::size_t>(pitch_)) {}

    /// Reads them and finds the largest of each; false if a column is not ordinary.
    bool read(const fp16* x, std::int64_t stride) {
        for (std::int64_t c = 0; c < pitch_; c += 2 * wide) {
            const std::int64_t left = columns_ - c;
            const __mmask32 first = first_halves(left),
                            second = first_halves(std::max<std::int64_t>(0, left - wide));
            Extremes of_first, of_second;
            for (std::int64_t r = 0; r < rows_; ++r) {
                const fp16* from = x + r * stride + c;
                fp16* to = values_.data() + r * pitch_ + c;
                const __m512i bits = _mm512_maskz_loadu_epi16(first, from);
                of_first.take(bits);
                _mm512_storeu_si512(to, bits);
                if (second != 0) {
                    const __m512i more = _mm512_maskz_loadu_epi16(second, from + wide);
                    of_second.take(more);
                    _mm512_storeu_si512(to + wide, more);
                }
            }
            if (!keep_tops(of_first, c) || (second != 0 && !keep_tops(of_second, c + wide))) {
                return false;
            }
        }
        return true;
    }

    /// Values become exponentials; their sums are kept.
    void exponentiate(ExponentialRegisters exponential) {
        for (std::int64_t c = 0; c < pitch_; c += 16) {
            const __m512 top = _mm512_loadu_ps(tops_.data() + c);
            __m512d low{}, high{};
            for (std::int64_t r = 0; r < rows_; r += group) {
                const __m512 part = sum_group(exponential, r, c, top);
                low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(part)));
                high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(part, 1)));
            }
            _mm512_storeu_pd(sums_.data() + c, low);
            _mm512_storeu_pd(sums_.data() + c + 8, high);
        }
    }

    void write(fp16* y, std::int64_t stride, const SoftmaxTables& tables) {
        for (std::int64_t c = 0; c < columns_; ++c) {
            tops_[static_cast<std::size_t>(c)] =
                to_float(reciprocal(tables, sums_[static_cast<std::size_t>(c)]));
        }
        for (std::int64_t r = 0; r < rows_; ++r) {
            const fp16* from = values_.data() + r * pitch_;
            fp16* to = y + r * stride;
            for (std::int64_t c = 0; c < columns_; c += 16) {
                _mm256_mask_storeu_epi16(
                    to + c, first_of(columns_ - c),
                    product(load_bits(from + c), _mm512_loadu_ps(tops_.data() + c)));
            }
        }
    }

  private:
    bool keep_tops(const Extremes& extremes, std::int64_t c) {
        std::int16_t largest[wide], smallest[wide];
        _mm512_storeu_si512(largest, extremes.largest);
        _mm512_storeu_si512(smallest, extremes.smallest);
        for (int i = 0; i < wide; ++i) {
            if (!is_ordinary(largest[i], smallest[i])) {
                return false;
            }
            tops_[static_cast<std::size_t>(c + i)] = to_float(value_of(largest[i]));
        }
        return true;
    }

    /// The exponentials of up to 32 rows from r on and of 16 columns, and their sum.
    HWY_INLINE __m512 sum_group(const ExponentialRegisters& exponential, std::int64_t r,
                                std::int64_t c, __m512 top) {
        __m512 part{};
        const std::int64_t end = std::min(rows_, r + group);
        for (std::int64_t eight = r; eight < end; eight += 8) {
            fp16* at = values_.data() + eight * pitch_ + c;
            __m512 v[8] = {};
            __m256i bits[4];
            for (std::int64_t i = 0; i < 8 && eight + i < end; i += 4) {
                // Rows that do not exist are read as the last one that does.
                for (std::int64_t j = 0; j < 4; ++j) {
                    bits[j] = load_bits(at + std::min(i + j, end - 1 - eight) * pitch_);
                }
                powers_of<4>(exponential, bits, top);
                for (std::int64_t j = 0; j < 4 && eight + i + j < end; ++j) {
                    store_bits(bits[j], at + (i + j) * pitch_);
                    v[i + j] = _mm512_cvtph_ps(bits[j]);
                }
            }
            part = add(part, sum_of_eight(v));
        }
        return part;
    }

    std::int64_t rows_, columns_, pitch_;
    std::vector<fp16> values_;
    std::vector<float> tops_;  ///< then the reciprocals
    std::vector<double> sums_;
};

bool columns_by_lines(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                      std::int64_t stride, const SoftmaxTables& tables) {
    Columns part(rows, columns);
    if (!part.read(x, stride)) {
        return false;
    }
    part.exponentiate(ExponentialRegisters(*tables.exp.exponential()));
    part.write(y, stride, tables);
    return true;
}

bool has_lines() {
    return true;
}

#else

bool has_lines() {
    return false;
}
void rows_by_lines(const fp16*, fp16*, std::int64_t, std::int64_t, const SoftmaxTables&,
                   const std::function<void(std::int64_t row)>&) {}
bool columns_by_lines(const fp16*, fp16*, std::int64_t, std::int64_t, std::int64_t,
                      const SoftmaxTables&) {
    return false;
}

#endif  // POME_PERMUTES_LINES

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(has_lines);
HWY_EXPORT(rows_by_lines);
HWY_EXPORT(columns_by_lines);

}  // namespace

bool softmax_has_lines(const SoftmaxTables& tables) {
    return tables.exp.exponential() && HWY_DYNAMIC_DISPATCH(has_lines)();
}

void softmax_rows_by_lines(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                           const SoftmaxTables& tables,
                           const std::function<void(std::int64_t row)>& rest) {
    HWY_DYNAMIC_DISPATCH(rows_by_lines)(x, y, rows, columns, tables, rest);
}

bool softmax_columns_by_lines(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                              std::int64_t stride, const SoftmaxTables& tables) {
    return HWY_DYNAMIC_DISPATCH(columns_by_lines)(x, y, rows, columns, stride, tables);
}

}  // namespace pome::kernels
#endif
