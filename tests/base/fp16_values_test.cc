#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/fp16.h"
#include "base/random.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pome {
namespace {

constexpr Rounding roundings[] = {Rounding::nearest_even, Rounding::nearest_away,
                                  Rounding::toward_zero};

/// The nearest-even conversion by integers on the float's bits: another way than the library's.
std::uint16_t nearest_even_by_integers(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
    const std::uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude >= 0x7F800000) {
        return sign | 0x7C00;
    }
    const int exponent = static_cast<int>(magnitude >> 23) - 127;
    const std::uint64_t significand = (magnitude & 0x7FFFFF) | 0x800000;
    // The half's last place is worth 2^(max(exponent, -14) - 10); the float's is worth 2^(exponent
    // - 23).
    const int shift = 13 + (exponent < -14 ? -14 - exponent : 0);
    if (exponent < -26) {
        return sign;
    }
    const std::uint64_t half = std::uint64_t{1} << (shift - 1);
    std::uint64_t whole = significand >> shift;
    const std::uint64_t rest = significand & ((std::uint64_t{1} << shift) - 1);
    if (rest > half || (rest == half && (whole & 1) != 0)) {
        ++whole;
    }
    if (exponent >= -14) {
        whole += static_cast<std::uint64_t>(exponent + 14) << 10;
    }
    return static_cast<std::uint16_t>(sign | (whole >= 0x7C00 || exponent > 15 ? 0x7C00 : whole));
}

TEST(Fp16Values, AllBitPatternsComeBackFromFloat) {
    int nans = 0;
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const fp16 value{static_cast<std::uint16_t>(bits)};
        const float wide = to_float(value);
        for (const Rounding rounding : roundings) {
            const fp16 back = to_fp16(wide, rounding);
            if (is_nan(value)) {
                EXPECT_TRUE(std::isnan(wide) && is_nan(back)) << bits;
                EXPECT_EQ(back.bits & 0x8000, value.bits & 0x8000) << bits;
            } else {
                EXPECT_EQ(back.bits, bits);
            }
        }
        nans += is_nan(value) ? 1 : 0;
    }
    EXPECT_EQ(nans, 2 * 1023);
}

TEST(Fp16Values, KnownValues) {
    EXPECT_EQ(to_float(fp16{0x3C00}), 1.0F);
    EXPECT_EQ(to_float(fp16{0xC000}), -2.0F);
    EXPECT_EQ(to_float(fp16{0x7BFF}), fp16_max);
    EXPECT_EQ(to_float(fp16{0x0400}), fp16_min_normal);
    EXPECT_EQ(to_float(fp16{0x0001}), fp16_min_subnormal);
    EXPECT_EQ(to_float(fp16{0x03FF}), 1023 * 0x1p-24F);
    EXPECT_EQ(to_float(fp16{0x3555}), 0.333251953125F);
    EXPECT_TRUE(std::signbit(to_float(fp16{0x8000})));
    EXPECT_EQ(to_float(fp16{0xFC00}), -std::numeric_limits<float>::infinity());
}

/// Between each two neighbours lies a tie; around it every rounding is known by definition.
TEST(Fp16Values, EveryTieAndItsNeighboursRoundByDefinition) {
    for (std::uint16_t low = 0; low < 0x7BFF; ++low) {
        const std::uint16_t high = static_cast<std::uint16_t>(low + 1);
        const double tie = (static_cast<double>(to_float(fp16{low})) + to_float(fp16{high})) / 2;
        const double below = tie - std::ldexp(tie, -40), above = tie + std::ldexp(tie, -40);
        for (const int sign : {0, 0x8000}) {
            const double s = sign == 0 ? 1.0 : -1.0;
            const auto bits = [&](double v, Rounding r) { return to_fp16(s * v, r).bits - sign; };
            EXPECT_EQ(bits(tie, Rounding::nearest_even), (low & 1) == 0 ? low : high);
            EXPECT_EQ(bits(tie, Rounding::nearest_away), high);
            EXPECT_EQ(bits(tie, Rounding::toward_zero), low);
            for (const Rounding rounding : {Rounding::nearest_even, Rounding::nearest_away}) {
                EXPECT_EQ(bits(below, rounding), low);
                EXPECT_EQ(bits(above, rounding), high);
            }
            EXPECT_EQ(bits(above, Rounding::toward_zero), low);
        }
    }
}

TEST(Fp16Values, TheRangeEndsHalfAUnitBeyondTheLargest) {
    const double end = 65520.0, before = std::nextafter(end, 0.0);
    EXPECT_EQ(to_fp16(before, Rounding::nearest_even).bits, 0x7BFF);
    EXPECT_EQ(to_fp16(end, Rounding::nearest_even).bits, 0x7C00);
    EXPECT_EQ(to_fp16(-end, Rounding::nearest_away).bits, 0xFC00);
    EXPECT_EQ(to_fp16(end, Rounding::toward_zero).bits, 0x7BFF);
    EXPECT_EQ(to_fp16(1e300, Rounding::toward_zero).bits, 0x7BFF);
    EXPECT_EQ(to_fp16(1e300, Rounding::nearest_even).bits, 0x7C00);
    EXPECT_EQ(to_fp16(std::numeric_limits<double>::denorm_min(), Rounding::nearest_away).bits, 0);
    EXPECT_EQ(to_fp16(-0.0, Rounding::nearest_even).bits, 0x8000);
}

TEST(Fp16Values, RandomFloatsRoundAsIntegersDo) {
    constexpr std::uint64_t seed = 20;
    SCOPED_TRACE(seed);
    Random random(seed);
    for (int i = 0; i < 1'000'000; ++i) {
        const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(random.next() >> 32));
        if (std::isnan(value)) {
            continue;
        }
        ASSERT_EQ(to_fp16(value, Rounding::nearest_even).bits, nearest_even_by_integers(value))
            << value;
    }
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) std::uint16_t f16c_from_float(float value) {
    const __m128i halves = _mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT);
    return static_cast<std::uint16_t>(_mm_extract_epi16(halves, 0));
}
__attribute__((target("f16c"))) float f16c_to_float(std::uint16_t bits) {
    return _cvtsh_ss(bits);
}

TEST(Fp16Values, EqualTheProcessorsF16C) {
    if (!__builtin_cpu_supports("avx2")) {  // clang 14 cannot ask for F16C; both came together
        GTEST_SKIP() << "this processor has no F16C";
    }
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const auto half = static_cast<std::uint16_t>(bits);
        if (is_nan(fp16{half})) {
            continue;
        }
        ASSERT_EQ(to_float(fp16{half}), f16c_to_float(half)) << bits;
    }
    // All floats whose low 11 bits are at or beside what decides a rounding.
    for (std::uint64_t top = 0; top <= 0xFFFFFFFF; top += 0x800) {
        for (const std::uint64_t low : {0U, 1U, 0x3FFU, 0x400U, 0x401U, 0x7FFU}) {
            const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(top | low));
            if (std::isnan(value)) {
                continue;
            }
            ASSERT_EQ(to_fp16(value, Rounding::nearest_even).bits, f16c_from_float(value)) << value;
        }
    }
}
#endif

}  // namespace
}  // namespace pome
