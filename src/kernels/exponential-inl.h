// The engine's 2^y (docs/softmax.md) on float vectors, included once per vector target; only where
// a permutation of two registers looks 32 lines up: POME_PERMUTES_LINES.

#if defined(POME_KERNELS_EXPONENTIAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_EXPONENTIAL_INL_H_
#undef POME_KERNELS_EXPONENTIAL_INL_H_
#else
#define POME_KERNELS_EXPONENTIAL_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/lines.h"

#undef POME_PERMUTES_LINES
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
#define POME_PERMUTES_LINES 1
#else
#define POME_PERMUTES_LINES 0
#endif

#if POME_PERMUTES_LINES

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

constexpr int toward_zero = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
constexpr int down = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;

/// 32 floats in two registers, looked up by the lowest five bits of each lane.
struct LineRegisters {
    explicit LineRegisters(const std::array<float, line_count>& values)
        : first(_mm512_loadu_ps(values.data())), second(_mm512_loadu_ps(values.data() + 16)) {}
    HWY_INLINE __m512 operator()(__m512i index) const {
        return _mm512_permutex2var_ps(first, index, second);
    }
    __m512 first, second;
};

/// What is known of x: nothing, that it is not above zero, or also not below -18.
enum class Reach : std::uint8_t { any, falling, near };

/// 2^(x factor) of fp16 values or of their differences, as fp16 bits and as floats.
class ExponentialRegisters {
  public:
    explicit ExponentialRegisters(const Exponential& form)
        : intercepts_(form.intercepts),
          slopes_(form.slopes),
          factor_(_mm512_set1_ps(form.factor)) {}

    /// Of `count` vectors, stage by stage: one after another, each would wait for itself. (Eight
    /// are faster than four on a Zen 4, although registers do not hold them.) x: fp16 values in
    /// `reach`; NaN counts as +inf.
    template <Reach reach, int count>
    HWY_INLINE void bits(const __m512* x, __m256i* results) const {
        const __m512 unit = _mm512_set1_ps(Exponential::unit), one = _mm512_set1_ps(1.0F);
        __m512 y[count], shifted[count], rest[count], line[count];
        // Rounded to 11 bits, ties away from zero. Nothing depends on the exponents that y would
        // not have in fp16: tried with every x.
        for (int i = 0; i < count; ++i) {
            y[i] = bounded<reach>(round(_mm512_mul_ps(x[i], factor_)));
        }
        // Sums whose unit is 1/32: their lowest bits are floor(32 y) - 8. (A sum as a product with
        // 1: many processors have a unit for it that is idle here.)
        for (int i = 0; i < count; ++i) {
            shifted[i] = _mm512_fmadd_round_ps(y[i], one, unit, down);
        }
        for (int i = 0; i < count; ++i) {
            rest[i] = _mm512_sub_ps(y[i], _mm512_sub_ps(shifted[i], unit));
        }
        for (int i = 0; i < count; ++i) {
            const __m512i index = _mm512_castps_si512(shifted[i]);
            line[i] = _mm512_fmadd_ps(slopes_(index), rest[i], intercepts_(index));
        }
        for (int i = 0; i < count; ++i) {
            // 19 fraction bits, halves up (half a unit is in the intercept); the bits below stay
            // set, so that a tie between fp16 values, of which a multiple of 2^-19 may be one, is
            // above it.
            const __m512i fixed =
                _mm512_or_si512(_mm512_castps_si512(line[i]), _mm512_set1_epi32(15));
            // floor(32 y) - 8 in 32nds of the mantissa: the whole part moves the exponent, the rest
            // is what the intercept lacks.
            const __m512i whole = _mm512_slli_epi32(_mm512_castps_si512(shifted[i]), 18);
            results[i] = _mm512_cvtps_ph(_mm512_castsi512_ps(_mm512_add_epi32(fixed, whole)),
                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        }
    }

    /// v rounded to 11 bits, ties away from zero.
    static HWY_INLINE __m512 round(__m512 v) {
        return _mm512_castsi512_ps(
            _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(0x1000)),
                             _mm512_set1_epi32(~0x1FFF)));
    }

  private:
    /// y in [-27, 16], beyond which zero and infinity come out.
    template <Reach reach>
    static HWY_INLINE __m512 bounded(__m512 y) {
        const __m512 least = _mm512_set1_ps(-27.0F);
        if constexpr (reach == Reach::near) {
            return y;
        }
        if constexpr (reach == Reach::falling) {  // as integers, of which those below zero grow
            return _mm512_castsi512_ps(           // with the magnitude
                _mm512_min_epu32(_mm512_castps_si512(y), _mm512_castps_si512(least)));
        }
        return _mm512_max_ps(_mm512_min_ps(y, _mm512_set1_ps(16.0F)), least);
    }

    LineRegisters intercepts_, slopes_;
    __m512 factor_;
};

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // POME_PERMUTES_LINES

#endif  // include guard
