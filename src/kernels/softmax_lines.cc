#include "kernels/softmax_lines.h"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_lines.cc"
#include "hwy/aligned_allocator.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/softmax_lines-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if POME_PERMUTES_LINES

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

bool has_lines() {
    return true;
}

#else

bool has_lines() {
    return false;
}
void rows_by_lines(const fp16*, fp16*, std::int64_t, std::int64_t, const SoftmaxTables&,
                   const std::function<void(std::int64_t row)>&) {}

#endif  // POME_PERMUTES_LINES

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(has_lines);
HWY_EXPORT(rows_by_lines);

}  // namespace

bool softmax_has_lines(const SoftmaxTables& tables) {
    return tables.exp.exponential() && HWY_DYNAMIC_DISPATCH(has_lines)();
}

void softmax_rows_by_lines(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                           const SoftmaxTables& tables,
                           const std::function<void(std::int64_t row)>& rest) {
    HWY_DYNAMIC_DISPATCH(rows_by_lines)(x, y, rows, columns, tables, rest);
}

}  // namespace pome::kernels
#endif
