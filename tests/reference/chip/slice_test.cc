#include "reference/chip/slice.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pome::reference::chip {
namespace {

/// ANEForge's bisection on M1 and M2: 4094 passes, the next fp16 value does not.
TEST(WidthGain, KeepsUpTo4094) {
    for (const float value : {0.0F, 1.0F, -4094.0F, 4094.0F, 0x1p-24F}) {
        EXPECT_EQ(to_float(width_gain(to_fp16(value, Rounding::nearest_even))), value);
    }
    for (const float value : {4096.0F, -4100.0F, 65504.0F, -INFINITY}) {
        EXPECT_EQ(to_float(width_gain(to_fp16(value, Rounding::nearest_even))),
                  std::copysign(INFINITY, value));
    }
}

}  // namespace
}  // namespace pome::reference::chip
