#include "reference/chip/winograd.h"

#include <gtest/gtest.h>

#include "reference/chip/multiply_accumulate.h"

namespace pome::reference::chip {
namespace {

fp16 half(double value) {
    return to_fp16(value, Rounding::nearest_even);
}

TEST(Winograd, TransformsRoundTiesAway) {
    // (1 + 2^-10 + 0) / 2 is exact; (1 + 2^-10 + 2^-11) / 2 lies halfway between fp16 values.
    EXPECT_EQ(to_float(winograd_weights({half(1), half(0x1p-10), half(0)})[1]), 0.5F + 0x1p-11F);
    EXPECT_EQ(to_float(winograd_weights({half(1), half(0x1p-10), half(0x1p-11)})[1]),
              0.5F + 0x1p-10F);
    EXPECT_EQ(to_float(winograd_inputs({half(2048), half(1), half(-1), half(0)})[0]), 2050.0F);
    EXPECT_EQ(to_float(winograd_inputs({half(0), half(1), half(2), half(4)})[3]), -3.0F);
}

/// Without rounding in the way both outputs are the convolution's.
TEST(Winograd, GivesTheConvolutionOfSmallIntegers) {
    const std::array<fp16, 3> g{half(2), half(-4), half(6)};
    const std::array<fp16, 4> d{half(1), half(3), half(-2), half(5)};
    const auto u = winograd_weights(g), v = winograd_inputs(d);
    const auto product = [&](std::size_t i) {
        return static_cast<double>(to_float(u[i])) * static_cast<double>(to_float(v[i]));
    };
    EXPECT_EQ(product(0) + product(1) + product(2), 2 * 1 - 4 * 3 + 6 * -2);
    EXPECT_EQ(product(1) - product(2) - product(3), 2 * 3 - 4 * -2 + 6 * 5);
}

}  // namespace
}  // namespace pome::reference::chip
