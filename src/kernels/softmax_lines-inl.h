// What softmax of rows and of columns have in common (softmax_lines.h), included once per vector
// target; nothing where POME_PERMUTES_LINES is 0.

#if defined(POME_KERNELS_SOFTMAX_LINES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_SOFTMAX_LINES_INL_H_
#undef POME_KERNELS_SOFTMAX_LINES_INL_H_
#else
#define POME_KERNELS_SOFTMAX_LINES_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/exponential-inl.h"
#include "kernels/softmax.h"
#include "kernels/wide_halves-inl.h"

#if POME_PERMUTES_LINES

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

constexpr std::int64_t group = 32;  // elements of a sum that is rounded step by step

HWY_INLINE __m256i load_bits(const fp16* x) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
}
HWY_INLINE void store_bits(__m256i bits, fp16* y) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), bits);
}
HWY_INLINE __mmask16 first_of(std::int64_t count) {
    return count >= 16 ? static_cast<__mmask16>(~0U) : static_cast<__mmask16>((1U << count) - 1);
}

/// a + b of fp16 values of at least 0 that stay in the range, rounded to fp16. Below 2^-14 a sum is
/// a multiple of 2^-24 and short enough.
HWY_INLINE __m512 add(__m512 a, __m512 b) {
    return ExponentialRegisters::round(_mm512_add_ps(a, b));
}

/// sums[k] = (x0 + x1 + x2) + (x3 + x4 + x5) + (x6 + x7) of x[k], `count` of them stage by stage:
/// one after another, each would wait for itself.
template <int count>
HWY_INLINE void sums_of_eight(const __m512 (*x)[8], __m512* sums) {
    __m512 thirds[count][3];
    for (int k = 0; k < count; ++k) {
        for (int i = 0; i < 3; ++i) {
            thirds[k][i] = add(x[k][3 * i], x[k][3 * i + 1]);
        }
    }
    for (int k = 0; k < count; ++k) {
        for (int i = 0; i < 2; ++i) {
            thirds[k][i] = add(thirds[k][i], x[k][3 * i + 2]);
        }
    }
    for (int k = 0; k < count; ++k) {
        sums[k] = add(thirds[k][0], thirds[k][1]);
    }
    for (int k = 0; k < count; ++k) {
        sums[k] = add(sums[k], thirds[k][2]);
    }
}

/// The reciprocal as product() takes it: the next float.
HWY_INLINE __m512 next_floats(__m512 factor) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(factor), _mm512_set1_epi32(1)));
}

/// An exponential times the reciprocal, both of at least 0, given the float after the reciprocal.
/// The product has 22 bits, so that it is at least four units of a float's last place from a tie
/// unless it is one. Rounded up, the float's product is one to three units above it: that moves
/// ties only.
HWY_INLINE __m256i product(__m256i power, __m512 next_factor) {
    const __m512 above = _mm512_mul_round_ps(_mm512_cvtph_ps(power), next_factor,
                                             _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    return _mm512_cvtps_ph(above, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/// y = 2^((x - top) log2 e) of `rows` rows, `pitch` apart in x and y, of `across` vectors, of which
/// each has tops of its own. y may be x.
template <Reach reach, int across, int rows = 1>
HWY_INLINE void powers_of(const ExponentialRegisters& exponential, const fp16* x,
                          const __m512* tops, fp16* y, std::int64_t pitch = 0) {
    constexpr int count = across * rows;
    __m512 differences[count];
    __m256i bits[count];
    for (int i = 0; i < count; ++i) {
        const fp16* from = x + i / across * pitch + i % across * 16;
        differences[i] = ExponentialRegisters::round(_mm512_fmsub_ps(
            _mm512_cvtph_ps(load_bits(from)), _mm512_set1_ps(1.0F), tops[i % across]));
    }
    exponential.bits<reach, count>(differences, bits);
    for (int i = 0; i < count; ++i) {
        store_bits(bits[i], y + i / across * pitch + i % across * 16);
    }
}

inline fp16 reciprocal(const SoftmaxTables& tables, double sum) {
    return tables.reciprocal(to_fp16(sum, Rounding::nearest_away));
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // POME_PERMUTES_LINES

#endif  // include guard
