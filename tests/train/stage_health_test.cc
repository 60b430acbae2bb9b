#include "train/stage_health.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace pome::train {
namespace {

TEST(StageHealth, CountsBothEndsOfTheWindow) {
    // More than one piece of the loop, and an end that is none.
    device::Surface surface(mil::Type::tensor(DType::fp16, {1, 3, 1, 30001}));
    fp16* x = surface.halves();
    const std::int64_t n = surface.elements();
    for (std::int64_t i = 0; i < n; ++i) {
        x[i] = to_fp16(1.0, Rounding::nearest_even);
    }
    const auto put = [&](std::int64_t at, double value) {
        x[at] = to_fp16(value, Rounding::nearest_even);
    };
    put(0, 0.0);
    put(1, -0.0);
    put(2, 0x1p-14);            // the smallest normal number
    put(3, 0x1p-14 - 0x1p-24);  // the largest below it
    put(40000, -0x1p-24);       // the smallest of all
    put(4, 8188.0);             // the largest below 8192
    put(5, 8192.0);
    put(n - 1, -65504.0);
    StageHealth health;
    look(surface, 3, health);
    EXPECT_EQ(health.values, n);
    EXPECT_EQ(health.low, 2);
    EXPECT_EQ(health.high, 2);
    EXPECT_EQ(health.largest, 65504.0);
    EXPECT_EQ(health.largest_block, 3);
    put(0, HUGE_VAL);
    look(surface, 4, health);
    EXPECT_EQ(health.high, 5);
    EXPECT_EQ(health.largest, HUGE_VAL);
    EXPECT_EQ(health.largest_block, 4);
    EXPECT_EQ(health.values, 2 * n);
}

TEST(StageHealth, EveryFp16IsCountedAsItsValueSays) {
    device::Surface surface(mil::Type::tensor(DType::fp16, {1, 1, 1, 65536}));
    std::int64_t high = 0, low = 0;
    for (int bits = 0; bits < 65536; ++bits) {
        fp16 value{static_cast<std::uint16_t>(bits)};
        if (is_nan(value)) {
            value.bits = 0;
        }
        surface.halves()[bits] = value;
        const auto magnitude = std::fabs(static_cast<double>(to_float(value)));
        high += magnitude >= StageHealth::high_from ? 1 : 0;
        low += magnitude > 0.0 && magnitude < StageHealth::low_below ? 1 : 0;
    }
    StageHealth health;
    look(surface, 0, health);
    EXPECT_EQ(health.high, high);
    EXPECT_EQ(health.low, low);
}

TEST(StageHealth, Fp32HasNoWindow) {
    device::Surface surface(mil::Type::tensor(DType::fp32, {1, 1, 1, 64}));
    surface.floats()[0] = 1e30F;
    StageHealth health;
    look(surface, 0, health);
    EXPECT_EQ(health, StageHealth{});
}

TEST(StageHealth, ACheckpointHoldsItExactly) {
    StageHealths stages;
    stages["attention forward"] = {100, 3, 7, 1.0 / 3.0, 5, 11, 13};
    stages["attention backward"] = {100, 3, 7, HUGE_VAL, 5, 0, 0};
    stages["counted only"].saturated = 2;
    const auto text = exact(stages).dump();
    EXPECT_EQ(stage_healths(nlohmann::json::parse(text)), stages);
    EXPECT_EQ(summary(stages).at("counted only").dump(), R"({"saturated":2,"vanished":0})");
    EXPECT_EQ(summary(stages).at("attention forward").at("high_share"), 0.03);
    EXPECT_TRUE(summary(stages).at("attention backward").at("largest").is_null());
}

}  // namespace
}  // namespace pome::train
