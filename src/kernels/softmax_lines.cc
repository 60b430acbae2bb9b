#include "kernels/softmax_lines.h"

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_lines.cc"
#include "hwy/aligned_allocator.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/softmax_lines-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if POME_PERMUTES_LINES

/// sums[i] = the sum of group i of x, of sixteen groups, as floats.
HWY_INLINE void sum_groups(const fp16* x, float* sums) {
    // The bits of a half where a float has them: the value times 2^-112, sums and their rounding
    // alike. A product of 16-bit integers takes one half of 32 bits there.
    const __m512i first = _mm512_set1_epi32(0x2000), second = _mm512_set1_epi32(0x20000000);
    __m512 of_eights[4];  // of groups 4 q + i: the sum of eight b is in lane 4 b + i
    for (int q = 0; q < 4; q += 2) {
        __m512 v[2][8];
        for (int k = 0; k < 2; ++k) {
            __m512i in[4];
            for (int i = 0; i < 4; ++i) {
                in[i] = _mm512_load_si512(x + (4 * (q + k) + i) * group);
            }
            const __m512i low01 = _mm512_unpacklo_epi32(in[0], in[1]),
                          high01 = _mm512_unpackhi_epi32(in[0], in[1]),
                          low23 = _mm512_unpacklo_epi32(in[2], in[3]),
                          high23 = _mm512_unpackhi_epi32(in[2], in[3]);
            const __m512i pairs[4] = {
                _mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
                _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23)};
            for (int i = 0; i < 4; ++i) {
                v[k][2 * i] = _mm512_castsi512_ps(_mm512_madd_epi16(pairs[i], first));
                v[k][2 * i + 1] = _mm512_castsi512_ps(_mm512_madd_epi16(pairs[i], second));
            }
        }
        sums_of_eight<2>(v, of_eights + q);
    }
    const __m512 low01 = _mm512_shuffle_f32x4(of_eights[0], of_eights[1], 0x44),
                 high01 = _mm512_shuffle_f32x4(of_eights[0], of_eights[1], 0xEE),
                 low23 = _mm512_shuffle_f32x4(of_eights[2], of_eights[3], 0x44),
                 high23 = _mm512_shuffle_f32x4(of_eights[2], of_eights[3], 0xEE);
    const __m512 two = add(_mm512_shuffle_f32x4(low01, low23, 0x88),
                           _mm512_shuffle_f32x4(low01, low23, 0xDD)),
                 three = add(two, _mm512_shuffle_f32x4(high01, high23, 0x88)),
                 four = add(three, _mm512_shuffle_f32x4(high01, high23, 0xDD));
    _mm512_storeu_ps(sums, _mm512_mul_ps(four, _mm512_set1_ps(0x1p112F)));
}

/// A row as its exponentials need it.
struct Row {
    bool is_ordinary = false;
    bool is_near = false;  ///< no element is 18 below the largest
    fp16 largest, factor;
};

/// The smallest magnitude of a row.
std::uint16_t smallest_magnitude(const fp16* x, std::int64_t columns) {
    __m512i least = _mm512_set1_epi16(0x7FFF);
    for (std::int64_t i = 0; i < columns; i += wide) {
        const __mmask32 kept = first_halves(columns - i);
        const __m512i bits = _mm512_maskz_loadu_epi16(kept, x + i);
        least = _mm512_mask_min_epu16(least, kept, least,
                                      _mm512_and_si512(bits, _mm512_set1_epi16(0x7FFF)));
    }
    namespace hn = hwy::HWY_NAMESPACE;
    const hn::ScalableTag<std::uint16_t> d;
    return hn::GetLane(hn::MinOfLanes(d, hn::Vec<decltype(d)>{least}));
}

/// The largest of a vector of 16-bit integers, with a sign or without.
HWY_INLINE int largest_signed(__m512i v) {
    const __m256i half =
        _mm256_max_epi16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    const __m128i quarter =
        _mm_max_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    // The order turned around, as the smallest one is what an instruction finds.
    const __m128i turned = _mm_xor_si128(quarter, _mm_set1_epi16(0x7FFF));
    return static_cast<std::int16_t>(_mm_cvtsi128_si32(_mm_minpos_epu16(turned)) ^ 0x7FFF);
}
HWY_INLINE int largest_unsigned(__m512i v) {
    const __m512i signs = _mm512_set1_epi16(-0x8000);
    return largest_signed(_mm512_xor_si512(v, signs)) + 0x8000;
}

/// As integers with a sign the bits of values of at least 0 are in order, and above all others; as
/// integers without, those below 0 are above all others and fall as the values rise.
Row measure(const fp16* x, std::int64_t columns) {
    __m512i high = _mm512_set1_epi16(-0x8000), far = _mm512_setzero_si512();
    std::int64_t i = 0;
    for (; i + wide <= columns; i += wide) {
        const __m512i bits = _mm512_loadu_si512(x + i);
        high = _mm512_max_epi16(high, bits);
        far = _mm512_max_epu16(far, bits);
    }
    if (i < columns) {
        const __mmask32 kept = first_halves(columns - i);
        const __m512i bits = _mm512_maskz_loadu_epi16(kept, x + i);
        high = _mm512_mask_max_epi16(high, kept, high, bits);
        far = _mm512_max_epu16(far, bits);
    }
    const int top = largest_signed(high), lowest = largest_unsigned(far);
    Row row;
    row.largest =
        fp16{top >= 0 ? static_cast<std::uint16_t>(top)
                      : static_cast<std::uint16_t>(0x8000 | smallest_magnitude(x, columns))};
    constexpr int sign = 0x8000, infinity_bits = 0x7C00;
    row.is_ordinary =
        (row.largest.bits & ~sign) < infinity_bits && lowest <= (sign | infinity_bits);
    const float least = lowest >= sign ? to_float(fp16{static_cast<std::uint16_t>(lowest)}) : 0.0F;
    row.is_near = least - to_float(row.largest) >= -18.0F;
    return row;
}

/// powers = 2^((x - largest) log2 e), zeros up to the next whole group. This takes longest and
/// needs no memory: meanwhile what comes next is fetched, `columns` elements at `next` and at
/// `result`.
template <Reach reach>
void exponentials(ExponentialRegisters exponential, const fp16* x, std::int64_t columns,
                  fp16 largest, fp16* powers, const fp16* next, const fp16* result) {
    const __m512 top = _mm512_set1_ps(to_float(largest));
    const __m512 tops[8] = {top, top, top, top, top, top, top, top};
    std::int64_t i = 0;
    for (; i + 128 <= columns; i += 128) {
        for (std::int64_t line = i; line < i + 128; line += wide) {
            __builtin_prefetch(next + line, 0, 2);
            __builtin_prefetch(result + line, 0, 2);
        }
        powers_of<reach, 8>(exponential, x + i, tops, powers + i);
    }
    if (i + 64 <= columns) {
        powers_of<reach, 4>(exponential, x + i, tops, powers + i);
        i += 64;
    }
    for (; i < (columns + group - 1) / group * group; i += 16) {
        const __mmask16 kept = first_of(std::max<std::int64_t>(0, columns - i));
        store_bits(_mm256_maskz_loadu_epi16(kept, x + i), powers + i);
        powers_of<reach, 1>(exponential, powers + i, tops, powers + i);
        store_bits(_mm256_maskz_mov_epi16(kept, load_bits(powers + i)), powers + i);
    }
}

void products(const fp16* powers, fp16 factor, std::int64_t columns, fp16* y) {
    const __m512 by = next_floats(_mm512_set1_ps(to_float(factor)));
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
    constexpr std::int64_t few = block / group + 16;  // groups that need no memory of the heap
    HWY_ALIGN std::uint16_t few_powers[few * group];
    HWY_ALIGN float few_sums[few];
    hwy::AlignedFreeUniquePtr<fp16[]> many_powers;
    hwy::AlignedFreeUniquePtr<float[]> many_sums;
    auto* powers = reinterpret_cast<fp16*>(few_powers);
    float* sums = few_sums;
    if (padded > few) {
        many_powers = hwy::AllocateAligned<fp16>(static_cast<std::size_t>(padded * group));
        many_sums = hwy::AllocateAligned<float>(static_cast<std::size_t>(padded));
        powers = many_powers.get(), sums = many_sums.get();
    }
    std::fill_n(powers + most * pitch, padded * group - most * pitch, fp16{0});
    std::array<Row, block / group> of_rows;
    const ExponentialRegisters exponential(*tables.exp.exponential());
    for (std::int64_t begin = 0; begin < rows; begin += most) {
        const std::int64_t some = std::min(most, rows - begin);
        // Stage by stage for all rows: what ends a row's stage takes long, but not the next row's
        // time.
        for (std::int64_t row = 0; row < some; ++row) {
            of_rows[static_cast<std::size_t>(row)] = measure(x + (begin + row) * columns, columns);
        }
        for (std::int64_t row = 0; row < some; ++row) {
            if (const Row& of_row = of_rows[static_cast<std::size_t>(row)]; of_row.is_ordinary) {
                (of_row.is_near
                     ? exponentials<Reach::near>
                     : exponentials<Reach::falling>)(exponential, x + (begin + row) * columns,
                                                     columns, of_row.largest, powers + row * pitch,
                                                     x + std::min(begin + row + most, rows - 1) *
                                                             columns,
                                                     y + (begin + row) * columns);
            }
        }
        for (std::int64_t i = 0; i < some * groups; i += 16) {
            sum_groups(powers + i * group, sums + i);
        }
        for (std::int64_t row = 0; row < some; ++row) {
            if (Row& of_row = of_rows[static_cast<std::size_t>(row)]; of_row.is_ordinary) {
                double sum = 0.0;  // exact: multiples of 2^-24
                for (std::int64_t i = row * groups; i < (row + 1) * groups; ++i) {
                    sum += static_cast<double>(sums[i]);
                }
                of_row.factor = reciprocal(tables, sum);
            }
        }
        for (std::int64_t row = 0; row < some; ++row) {
            if (const Row& of_row = of_rows[static_cast<std::size_t>(row)]; of_row.is_ordinary) {
                products(powers + row * pitch, of_row.factor, columns, y + (begin + row) * columns);
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
