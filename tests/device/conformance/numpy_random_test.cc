#include "device/conformance/numpy_random.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pome {
namespace {

// Values of NumPy 1.24.2's default_rng.
TEST(NumpyRandom, DrawsAsNumpyDoes) {
    device::conformance::NumpyRandom bits(12345);
    EXPECT_EQ(bits.bits(), 0x3A32B18DB2FFC19DU);
    EXPECT_EQ(bits.bits(), 0x51171315C9E4C4DEU);
    EXPECT_EQ(bits.bits(), 0xCC2024823444EFD9U);
    device::conformance::NumpyRandom normal(0);
    for (const double expected :
         {0.1257302210933933, -0.1321048632913019, 0.6404226504432821, 0.10490011715303971}) {
        EXPECT_NEAR(normal.normal(), expected, 1e-14);
    }
}

TEST(NumpyRandom, KeepsStepThroughTailsAndRejections) {
    device::conformance::NumpyRandom random(7);
    double last = 0.0, largest = 0.0;
    for (int i = 0; i < 1000000; ++i) {
        last = random.normal();
        largest = std::max(largest, last);
    }
    EXPECT_NEAR(last, 1.617001458485082, 1e-13);
    EXPECT_NEAR(largest, 4.947871460149176, 1e-13);
}

}  // namespace
}  // namespace pome
