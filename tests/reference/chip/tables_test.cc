// The tables of exp and inverse: bits that a real engine used inside softmax, and published errors.
#include "reference/chip/tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace pome::reference::chip {
namespace {

/// Of the nearest fp16 value at or below `exact`, the distance to the next; subnormals included.
double unit_of(double exact) {
    return std::ldexp(1.0, std::max(std::ilogb(exact), -14) - 10);
}

/// Largest error in units in the last place for x in [low, high].
double largest_error(Function function, double (*f)(double), double low, double high) {
    double largest = 0.0;
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const fp16 x{static_cast<std::uint16_t>(bits)};
        const double value = to_float(x);
        if (!(value >= low && value <= high)) {
            continue;
        }
        const double exact = f(value), got = to_float(evaluate(function, x, {}));
        largest = std::max(largest, std::fabs(got - exact) / unit_of(exact));
    }
    return largest;
}

// M4/M6 study: 9.1. A product with log2 e that is not rounded to fp16, or an exact log2 e, gives
// less than 6.
TEST(Tables, ExpHasThePublishedLargestErrorUpToTen) {
    const auto f = [](double x) { return std::exp(x); };
    EXPECT_NEAR(largest_error(Function::exp, f, -10.0, 10.0), 9.1, 0.05);
}

TEST(Tables, InverseIsWithinThreeQuartersOfAUnit) {
    const auto f = [](double x) { return 1.0 / x; };
    EXPECT_NEAR(largest_error(Function::inverse, f, 0x1p-14, 65504.0), 0.766, 0.001);
    EXPECT_EQ(to_float(evaluate(Function::inverse, fp16{0xC400}, {})), -0.25F);
}

// Sums of the captured attention program whose reciprocals are not the nearest fp16 values.
TEST(Tables, InverseHasTheBitsOfTheCapturedReciprocals) {
    const std::pair<std::uint16_t, std::uint16_t> captured[] = {
        {0x4C40, 0x2B87}, {0x50DD, 0x2695}, {0x4D3F, 0x2A19}, {0x513F, 0x2619}, {0x515D, 0x25F8},
        {0x515E, 0x25F7}, {0x497E, 0x2DD3}, {0x497F, 0x2DD2}, {0x4D7E, 0x29D3}, {0x517F, 0x25D2},
        {0x4E3F, 0x291F}, {0x525E, 0x2506}, {0x4A7D, 0x2CEE}, {0x527D, 0x24EE}, {0x4F00, 0x2893},
        {0x531A, 0x2481}, {0x531D, 0x247F}, {0x4F3F, 0x286A}, {0x4B7C, 0x2C46}, {0x537C, 0x2446}};
    for (const auto& [sum, reciprocal] : captured) {
        EXPECT_EQ(evaluate(Function::inverse, fp16{sum}, {}).bits, reciprocal) << std::hex << sum;
        const double nearest = 1.0 / to_float(fp16{sum});
        EXPECT_NE(to_fp16(nearest, Rounding::nearest_away).bits, reciprocal) << std::hex << sum;
    }
}

// 0x988A: one of 2,578 captured differences, and the only one where the table's value lies so close
// below the middle of two fp16 values (2043.49902 of 2048) that its 19 fraction bits decide.
TEST(Tables, ExpRoundsToNineteenFractionBitsFirst) {
    EXPECT_EQ(evaluate(Function::exp, fp16{0x988A}, {}).bits, 0x3BFC);
    EXPECT_EQ(evaluate(Function::exp, fp16{0x988B}, {}).bits, 0x3BFB);
    EXPECT_EQ(evaluate(Function::exp, fp16{0}, {}).bits, 0x3C00);
}

}  // namespace
}  // namespace pome::reference::chip
