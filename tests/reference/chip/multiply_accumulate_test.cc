#include "reference/chip/multiply_accumulate.h"

#include <gtest/gtest.h>

#include <cmath>

#include <vector>

namespace pome::reference::chip {
namespace {

fp16 half(double value) { return to_fp16(value, Rounding::nearest_even); }

float sum(const std::vector<double>& x, const std::vector<double>& w, ProductCounters* counters = nullptr) {
    std::vector<fp16> a, b;
    for (const double value : x) { a.push_back(half(value)); }
    for (const double value : w) { b.push_back(half(value)); }
    return to_float(multiply_accumulate(a, b, 0.0F, {}, counters));
}

const float infinity = HUGE_VALF;

// The published probes of the engine's multiply-accumulate path; ids as in the collection they come from.
TEST(MultiplyAccumulate, CliffsOfEveryMeasuredChip) {
    EXPECT_EQ(sum(std::vector<double>(32, 1000.0), std::vector<double>(32, 1.0)), 32000.0F);      // N01
    EXPECT_EQ(sum(std::vector<double>(33, 1000.0), std::vector<double>(33, 1.0)), infinity);      // N02
    EXPECT_EQ(sum({32752.0}, {1.0}), 32752.0F);                                                    // N03
    EXPECT_EQ(sum({32768.0}, {1.0}), infinity);
    EXPECT_EQ(sum({16200.0, 16200.0}, {1.0, 1.0}), 32400.0F);                                      // N04
    EXPECT_EQ(sum({16640.0, 16640.0}, {1.0, 1.0}), infinity);
    EXPECT_EQ(sum({30000.0, 30000.0, -30000.0}, {1.0, 1.0, 1.0}), infinity);                       // N06
}

TEST(MultiplyAccumulate, SmallProductsVanishByExponent) {
    ProductCounters counters;
    EXPECT_EQ(sum({0x1p-8}, {0x1p-9}, &counters), 0.0F);                                           // N09
    EXPECT_EQ(counters.dropped, 1);
    EXPECT_EQ(sum({0x1p-8}, {0x1p-8}), 0x1p-16F);                                                  // N10
    EXPECT_EQ(sum({0x1.FFCp-8}, {0x1.FFCp-9}), 0.0F);                                              // N11: almost two units
    EXPECT_EQ(sum({0x1p-24, 0x1p-24}, {1.0, 1.0}), 0.0F);                                          // N12
    EXPECT_EQ(sum({0x1p-17}, {1.0}), 0x1p-16F);                                                    // N13: half rounds away
    EXPECT_EQ(sum(std::vector<double>(4096, 1.0 / 4096), std::vector<double>(4096, 0.0005)), 0.0F);  // N25
}

TEST(MultiplyAccumulate, TiesLeaveZero) { EXPECT_EQ(sum({2048.0, 1.0}, {1.0, 1.0}), 2050.0F); }

// N24: a published dot product of an M5 Pro: integer weights, then the group's scale after a rounding to fp16.
TEST(MultiplyAccumulate, PublishedDotProductOfThirtyTwo) {
    const std::vector<double> q{2, -2, 4, -7, 1, 0, -6, -3, 3, 1, -6, 0, -2, -6, -6, 1, 5, 5, 5, 6, 7, 3, -8, -1, 1, 2, -3, 4, -2, 0, 2, -7};
    const std::vector<double> x{-.1640625, -.02734375, .01953125, .09765625, -.0078125, .0234375, .0703125, .0234375,
                                -.1328125, .0390625, -.02734375, .0234375, .03125, .109375, .0390625, .00390625,
                                .02734375, .02734375, -.06640625, -.02734375, -.10546875, -.32421875, .234375, -.02734375,
                                -.03125, -.09375, .05859375, -.0625, -.03515625, .0703125, .01171875, .1640625};
    EXPECT_EQ(sum(q, x), -8.0078125F);
    EXPECT_EQ(to_float(to_fp16(-8.0078125 * to_float(half(.007476806640625)), Rounding::nearest_away)), -0.05987548828125F);
}

TEST(MultiplyAccumulate, Exponent31IsAnOrdinaryNumber) {
    EXPECT_EQ(decode(fp16{0x7C00}), 65536.0);
    EXPECT_EQ(decode(fp16{0x7E00}), 98304.0);
    EXPECT_EQ(decode(fp16{0x7FFF}), 131008.0);
    const std::vector<fp16> x{fp16{0x7C00}}, w{half(0x1p-4)};
    EXPECT_EQ(to_float(multiply_accumulate(x, w, 0.0F, {})), 4096.0F);
}

TEST(MultiplyAccumulate, TheBiasIsTheFirstSummand) {
    const std::vector<fp16> x{half(1.0)}, w{half(2.0)};
    EXPECT_EQ(to_float(multiply_accumulate(x, w, 0.5F, {})), 2.5F);
    EXPECT_EQ(to_float(multiply_accumulate(x, w, 0x1p-17F, {})), 2.0F);
}

}  // namespace
}  // namespace pome::reference::chip
