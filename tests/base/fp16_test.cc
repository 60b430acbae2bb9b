#include "base/fp16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pome {
namespace {

TEST(Fp16, EveryValueSurvivesTheWayThroughFloat) {
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const fp16 value{static_cast<std::uint16_t>(bits)};
        if (is_nan(value)) {
            continue;
        }
        for (const auto rounding :
             {Rounding::nearest_even, Rounding::nearest_away, Rounding::toward_zero}) {
            EXPECT_EQ(to_fp16(to_float(value), rounding).bits, bits);
        }
    }
}

TEST(Fp16, RoundsTiesAsAsked) {
    EXPECT_EQ(to_float(to_fp16(2049.0, Rounding::nearest_even)), 2048.0F);
    EXPECT_EQ(to_float(to_fp16(2049.0, Rounding::nearest_away)), 2050.0F);
    EXPECT_EQ(to_float(to_fp16(-2049.0, Rounding::nearest_away)), -2050.0F);
    EXPECT_EQ(to_float(to_fp16(2049.9, Rounding::toward_zero)), 2048.0F);
    EXPECT_EQ(to_fp16(0x1p-25, Rounding::nearest_even).bits, 0);
    EXPECT_EQ(to_fp16(0x1p-25, Rounding::nearest_away).bits, 1);
}

TEST(Fp16, LeavesTheRangeAtTheHalfUnit) {
    EXPECT_EQ(to_fp16(65519.9, Rounding::nearest_away).bits, 0x7BFF);
    EXPECT_EQ(to_fp16(65520.0, Rounding::nearest_away).bits, 0x7C00);
    EXPECT_EQ(to_fp16(1e9, Rounding::toward_zero).bits, 0x7BFF);
    EXPECT_EQ(to_fp16(-std::numeric_limits<double>::infinity(), Rounding::nearest_even).bits,
              0xFC00);
    EXPECT_TRUE(is_nan(to_fp16(std::nan(""), Rounding::nearest_even)));
}

}  // namespace
}  // namespace pome
