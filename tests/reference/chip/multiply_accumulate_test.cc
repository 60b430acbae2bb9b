// The numbers of these tests are published measurements of the engine, or follow from the rule; ids
// are those of the specification's section 10.1.

#include "reference/chip/multiply_accumulate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace pome::reference::chip {
namespace {

using Rules = Numerics::MultiplyAccumulate;

fp16 half(double value) {
    return to_fp16(value, Rounding::nearest_away);
}

std::vector<fp16> halves(std::initializer_list<double> values) {
    std::vector<fp16> result;
    for (const double value : values) {
        result.push_back(half(value));
    }
    return result;
}

float product(double x, double w, const Rules& rules = {}) {
    const auto xs = halves({x}), ws = halves({w});
    return to_float(multiply_accumulate(xs, ws, 0.0F, rules));
}

float sum(std::initializer_list<double> values, const Rules& rules = {}, float bias = 0.0F) {
    const auto x = halves(values);
    const std::vector<fp16> ones(x.size(), half(1.0));
    return to_float(multiply_accumulate(x, ones, bias, rules));
}

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(MultiplyAccumulate, SaturatesAtTwoToThe15) {
    const std::vector<fp16> thousand(33, half(1000.0)), ones(33, half(1.0));
    const std::span<const fp16> x(thousand), w(ones);
    EXPECT_EQ(to_float(multiply_accumulate(x.first(32), w.first(32), 0.0F, {})), 32000.0F);  // N01
    EXPECT_EQ(to_float(multiply_accumulate(x, w, 0.0F, {})), infinity);                      // N02
    EXPECT_EQ(product(32752.0, 1.0), 32752.0F);                                              // N03
    EXPECT_EQ(product(32768.0, 1.0), infinity);
    EXPECT_EQ(product(32768.0, -1.0), -infinity);
    EXPECT_EQ(sum({16200.0, 16200.0}), 32400.0F);  // N04
    EXPECT_EQ(sum({16640.0, 16640.0}), infinity);
    EXPECT_EQ(sum({16800.0, 16800.0}), infinity);
    EXPECT_EQ(sum({17600.0, 17600.0}), infinity);
    EXPECT_EQ(sum({32752.0, 7.984375}), 32752.0F);  // N05: the switch is at 32760
    EXPECT_EQ(sum({32752.0, 8.0}), infinity);
}

TEST(MultiplyAccumulate, PartialOverflowIsSticky) {
    EXPECT_EQ(sum({30000.0, 30000.0, -30000.0}), infinity);  // N06
    EXPECT_EQ(sum({30000.0, -30000.0, 30000.0}), 30000.0F);
    EXPECT_EQ(sum({-30000.0, -30000.0, 30000.0, 30000.0, 30000.0}), -infinity);  // the first wins
    Rules final_only;
    final_only.sticky = false;
    EXPECT_EQ(sum({30000.0, 30000.0, -30000.0}, final_only), 30000.0F);
    EXPECT_EQ(sum({30000.0, 30000.0}, final_only), infinity);
}

TEST(MultiplyAccumulate, SmallProductsAreDroppedOrRounded) {
    EXPECT_EQ(product(0x1p-8, 0x1p-9), 0.0F);                                // N09
    EXPECT_EQ(product(0x1p-8, 0x1p-8), 0x1p-16F);                            // N10
    EXPECT_EQ(product(1.9990234375 * 0x1p-8, 1.9990234375 * 0x1p-9), 0.0F);  // N11
    EXPECT_EQ(sum({0x1p-24, 0x1p-24}), 0.0F);                                // N12
    EXPECT_EQ(product(0x1p-17, 1.0), 0x1p-16F);                              // N13
    EXPECT_EQ(product(-0x1p-17, 1.0), -0x1p-16F);
    EXPECT_EQ(product(1.5 * 0x1p-8, 0x1p-8), 0x1p-15F);  // 1.5 units
    EXPECT_EQ(product(0.0005, 1.0 / 4096.0), 0.0F);      // N25
    EXPECT_EQ(product(0.00025, 1.0 / 4096.0), 0.0F);
    Rules keep;
    keep.drop = false;
    EXPECT_EQ(product(1.9990234375 * 0x1p-8, 1.9990234375 * 0x1p-9, keep), 0x1p-15F);
}

TEST(MultiplyAccumulate, PublishedDotOf32) {  // N24
    const double w[] = {2, -2, 4, -7, 1, 0, -6, -3, 3, 1, -6, 0, -2, -6, -6, 1,
                        5, 5,  5, 6,  7, 3, -8, -1, 1, 2, -3, 4, -2, 0,  2,  -7};
    const double x[] = {-.1640625,  -.02734375, .01953125,  .09765625,  -.0078125,  .0234375,
                        .0703125,   .0234375,   -.1328125,  .0390625,   -.02734375, .0234375,
                        .03125,     .109375,    .0390625,   .00390625,  .02734375,  .02734375,
                        -.06640625, -.02734375, -.10546875, -.32421875, .234375,    -.02734375,
                        -.03125,    -.09375,    .05859375,  -.0625,     -.03515625, .0703125,
                        .01171875,  .1640625};
    // The published program holds integer weights and scales groups of the result.
    std::vector<fp16> xs, ws;
    for (const double v : x) {
        xs.push_back(half(v));
    }
    for (const double v : w) {
        ws.push_back(half(v));
    }
    const float whole = to_float(multiply_accumulate(xs, ws, 0.0F, {}));
    EXPECT_EQ(to_float(half(static_cast<double>(whole) * .007476806640625)), -0.05987548828125F);
}

TEST(MultiplyAccumulate, ExponentThirtyOneIsAnOrdinaryNumber) {
    EXPECT_EQ(decode(fp16{0x7C00}), 65536.0);
    EXPECT_EQ(decode(fp16{0x7E00}), 98304.0);
    EXPECT_EQ(decode(fp16{0xFFFF}), -131008.0);
    const std::vector<fp16> x{fp16{0x7E00}}, tenth{half(0.125)}, one{half(1.0)}, zero{half(0.0)};
    EXPECT_EQ(to_float(multiply_accumulate(x, tenth, 0.0F, {})), 12288.0F);
    EXPECT_EQ(to_float(multiply_accumulate(x, one, 0.0F, {})), infinity);
    EXPECT_EQ(multiply_accumulate(x, zero, 0.0F, {}).bits, 0);
}

TEST(MultiplyAccumulate, TiesGoAwayAndMinusZeroNeverComesOut) {
    EXPECT_EQ(sum({2048.0, 1.0}), 2050.0F);
    EXPECT_EQ(sum({-2048.0, -1.0}), -2050.0F);
    Rules even;
    even.output = Rounding::nearest_even;
    EXPECT_EQ(sum({2048.0, 1.0}, even), 2048.0F);
    EXPECT_EQ(multiply_accumulate(halves({-1.0, 1.0}), halves({1.0, 1.0}), 0.0F, {}).bits, 0);
    EXPECT_EQ(multiply_accumulate(halves({-0x1p-20}), halves({0x1p-10}), -0.0F, {}).bits, 0);
    EXPECT_EQ(multiply_accumulate({}, {}, -0.0F, {}).bits, 0);
}

TEST(MultiplyAccumulate, BiasIsTheFirstValueOfTheSum) {
    EXPECT_EQ(sum({1.0}, {}, 0x1p-17F), 1.0F);  // below half of the result's unit
    EXPECT_EQ(sum({}, {}, 0x1p-17F), 0x1p-16F);
    EXPECT_EQ(sum({-1.0}, {}, 40000.0F), infinity);
    EXPECT_EQ(sum({-10000.0}, {}, 40000.0F), infinity);
    EXPECT_EQ(sum({1.0}, {}, std::nanf("")), infinity);
    EXPECT_EQ(sum({1.0}, {}, -infinity), -infinity);
}

TEST(MultiplyAccumulate, WithoutFixedPointItIsPlainArithmetic) {
    Rules plain;
    plain.fixed_point = false;
    plain.output = Rounding::nearest_even;
    EXPECT_EQ(product(0x1p-8, 0x1p-9, plain), 0x1p-17F);
    EXPECT_EQ(sum({30000.0, 30000.0}, plain), 60000.0F);
    EXPECT_EQ(sum({2048.0, 1.0}, plain), 2048.0F);
    EXPECT_TRUE(std::isnan(product(infinity, 0.0, plain)));
}

TEST(MultiplyAccumulate, CountsWhatHappens) {
    ProductCounters counters;
    Rules no_drop;
    no_drop.drop = false;
    multiply_accumulate(halves({0x1p-8, 1.0}), halves({0x1p-9, 1.0}), 0.0F, {}, &counters);
    multiply_accumulate(halves({0x1p-9, 1.0}), halves({0x1p-9, 0.0}), 0.0F, no_drop, &counters);
    multiply_accumulate(halves({30000.0}), halves({2.0}), 0.0F, {}, &counters);
    EXPECT_EQ(counters.dropped, 1);
    EXPECT_EQ(counters.vanished, 1);
    EXPECT_EQ(counters.saturated, 1);
}

}  // namespace
}  // namespace pome::reference::chip
