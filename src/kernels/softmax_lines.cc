#include "kernels/softmax_lines.h"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_lines.cc"
#include "hwy/aligned_allocator.h"
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

/// y = 2^((x - top) log2 e) of `count` vectors, of which each has tops of its own. y may be x.
template <int count>
HWY_INLINE void powers_of(const ExponentialRegisters& exponential, const fp16* x,
                          const __m512* tops, fp16* y) {
    __m512 differences[count];
    __m256i bits[count];
    for (int i = 0; i < count; ++i) {
        differences[i] = ExponentialRegisters::round(
            _mm512_fmsub_ps(_mm512_cvtph_ps(load_bits(x + 16 * i)), _mm512_set1_ps(1.0F), tops[i]));
    }
    exponential.bits<true, count>(differences, bits);
    for (int i = 0; i < count; ++i) {
        store_bits(bits[i], y + 16 * i);
    }
}

/// powers = 2^((x - largest) log2 e), zeros up to the next whole group. This takes longest and
/// needs no memory: meanwhile what comes next is fetched, `columns` elements at `next` and at
/// `result`.
void exponentials(ExponentialRegisters exponential, const fp16* x, std::int64_t columns,
                  fp16 largest, fp16* powers, const fp16* next, const fp16* result) {
    const __m512 top = _mm512_set1_ps(to_float(largest));
    const __m512 tops[4] = {top, top, top, top};
    std::int64_t i = 0;
    for (; i + 64 <= columns; i += 64) {
        for (const std::int64_t line : {i, i + wide}) {
            __builtin_prefetch(next + line);
            __builtin_prefetch(result + line);
        }
        powers_of<4>(exponential, x + i, tops, powers + i);
    }
    for (; i < (columns + group - 1) / group * group; i += 16) {
        const __mmask16 kept = first_of(std::max<std::int64_t>(0, columns - i));
        store_bits(_mm256_maskz_loadu_epi16(kept, x + i), powers + i);
        powers_of<1>(exponential, powers + i, tops, powers + i);
        store_bits(_mm256_maskz_mov_epi16(kept, load_bits(powers + i)), powers + i);
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
    // Not cleared. What is read before it is written (rows that are not ordinary) makes sums that
    // nobody uses.
    const auto powers = hwy::AllocateAligned<fp16>(static_cast<std::size_t>(padded * group));
    const auto sums = hwy::AllocateAligned<float>(static_cast<std::size_t>(padded));
    std::fill_n(powers.get() + most * pitch, padded * group - most * pitch, fp16{0});
    struct Row {
        bool is_ordinary = false;
        fp16 largest, factor;
    };
    std::vector<Row> of_rows(static_cast<std::size_t>(most));
    const ExponentialRegisters exponential(*tables.exp.exponential());
    for (std::int64_t begin = 0; begin < rows; begin += most) {
        const std::int64_t some = std::min(most, rows - begin);
        // Stage by stage for all rows: what ends a row's stage takes long, but not the next row's
        // time.
        for (std::int64_t row = 0; row < some; ++row) {
            Row& of_row = of_rows[static_cast<std::size_t>(row)];
            of_row.is_ordinary = find_largest(x + (begin + row) * columns, columns, of_row.largest);
        }
        for (std::int64_t row = 0; row < some; ++row) {
            if (const Row& of_row = of_rows[static_cast<std::size_t>(row)]; of_row.is_ordinary) {
                exponentials(exponential, x + (begin + row) * columns, columns, of_row.largest,
                             powers.get() + row * pitch,
                             x + std::min(begin + row + most, rows - 1) * columns,
                             y + (begin + row) * columns);
            }
        }
        for (std::int64_t i = 0; i < some * groups; i += 16) {
            sum_groups(powers.get() + i * group, sums.get() + i);
        }
        for (std::int64_t row = 0; row < some; ++row) {
            if (Row& of_row = of_rows[static_cast<std::size_t>(row)]; of_row.is_ordinary) {
                double sum = 0.0;  // exact: multiples of 2^-24
                for (std::int64_t i = row * groups; i < (row + 1) * groups; ++i) {
                    sum += static_cast<double>(sums[static_cast<std::size_t>(i)]);
                }
                of_row.factor = reciprocal(tables, sum);
            }
        }
        for (std::int64_t row = 0; row < some; ++row) {
            if (const Row& of_row = of_rows[static_cast<std::size_t>(row)]; of_row.is_ordinary) {
                products(powers.get() + row * pitch, of_row.factor, columns,
                         y + (begin + row) * columns);
            } else {
                rest(begin + row);
            }
        }
    }
}

/// A few columns, their elements copied together: rows of a large tensor lie so far apart that a
/// cache holds few of them.
class Columns {
  public:
    /// `memory` is kept by the caller from one to the next.
    Columns(std::int64_t rows, std::int64_t columns, std::vector<fp16>& memory)
        : rows_(rows),
          columns_(columns),
          pitch_((columns + wide - 1) / wide * wide),
          values_(memory),
          tops_(static_cast<std::size_t>(pitch_)),
          sums_(static_cast<std::size_t>(pitch_)) {
        values_.resize(static_cast<std::size_t>(rows * pitch_));
    }

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
        for (std::int64_t r = 0; r < rows_; r += group) {
            const std::int64_t some = std::min(group, rows_ - r);
            for (std::int64_t k = 0; k < some; ++k) {
                fp16* row = values_.data() + (r + k) * pitch_;
                std::int64_t c = 0;
                for (; c + 64 <= pitch_; c += 64) {
                    exponentiate<4>(exponential, row, c);
                }
                for (; c < pitch_; c += 16) {
                    exponentiate<1>(exponential, row, c);
                }
            }
            for (std::int64_t c = 0; c < pitch_; c += 16) {
                const __m512 part = sum_group(r, c, some);
                const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(part)),
                              high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(part, 1));
                double* sums = sums_.data() + c;
                _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
                _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
            }
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

    template <int count>
    HWY_INLINE void exponentiate(const ExponentialRegisters& exponential, fp16* row,
                                 std::int64_t c) {
        __m512 tops[count];
        for (int i = 0; i < count; ++i) {
            tops[i] = _mm512_loadu_ps(tops_.data() + c + 16 * i);
        }
        powers_of<count>(exponential, row + c, tops, row + c);
    }

    /// The sum of up to 32 exponentials from row r on, of 16 columns.
    HWY_INLINE __m512 sum_group(std::int64_t r, std::int64_t c, std::int64_t some) const {
        __m512 part{};
        const fp16* at = values_.data() + r * pitch_ + c;
        for (std::int64_t eight = 0; eight < some; eight += 8) {
            __m512 v[8] = {};
            if (eight + 8 <= some) {
                for (std::int64_t i = 0; i < 8; ++i) {
                    v[i] = _mm512_cvtph_ps(load_bits(at + (eight + i) * pitch_));
                }
            } else {
                for (std::int64_t i = 0; eight + i < some; ++i) {
                    v[i] = _mm512_cvtph_ps(load_bits(at + (eight + i) * pitch_));
                }
            }
            part = add(part, sum_of_eight(v));
        }
        return part;
    }

    std::int64_t rows_, columns_, pitch_;
    std::vector<fp16>& values_;
    std::vector<float> tops_;  ///< then the reciprocals
    std::vector<double> sums_;
};

bool columns_by_lines(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                      std::int64_t stride, const SoftmaxTables& tables, std::vector<fp16>& memory) {
    Columns part(rows, columns, memory);
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
                      const SoftmaxTables&, std::vector<fp16>&) {
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
                              std::int64_t stride, const SoftmaxTables& tables,
                              std::vector<fp16>& memory) {
    return HWY_DYNAMIC_DISPATCH(columns_by_lines)(x, y, rows, columns, stride, tables, memory);
}

}  // namespace pome::kernels
#endif
