#include "device/emulator/time_model.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "device/emulator/program_pieces.h"
#include "device/emulator/published_programs.h"
#include "support/test_data.h"

namespace pome::device::emulator {
namespace {

ProgramCost cost_of(std::string_view recipe, const std::vector<std::int64_t>& sizes,
                    const std::vector<std::string>& options = {}) {
    return program_cost(published_work(recipe, sizes, options).programs.front().function);
}

Milliseconds time_of(std::string_view profile, const ProgramCost& cost) {
    return predict(cost, find_profile(profile)).time;
}

/// A profile with round constants, so that every term can be worked out by hand.
Profile round_profile() {
    Profile profile = find_profile("m4");
    TimeFacts& t = *profile.time;
    t.dispatch_us = 100.0;
    t.pointwise_tflops = 10.0;
    t.convolution_tflops = 5.0;
    t.matmul_tflops = 2.0;
    t.full_rate_channels = 64;
    t.layer_us = 0.0;
    t.elementwise_gbs = 50.0;
    t.pass_us = 2.0;
    t.weight_gbs = 50.0;
    t.memory_gbs = 100.0;
    t.boundary_gbs = 10.0;
    t.boundary_factor = 1.0;
    t.working_set_bytes = 2 << 20;
    t.operand_bytes = 2 << 20;
    t.slow_channels = 4096;
    t.slow_channels_factor = 0.5;
    t.int8_pointwise_gain = 2.0;
    profile.energy = EnergyFacts{0.0, 1.0, 0.5, 0.25, 100.0};
    return profile;
}

TEST(TimeModel, EveryChipByEveryRouteHasTimeAndEnergyWithEvidence) {
    for (const auto& chip : known_chips()) {
        for (const auto& route : known_routes()) {
            const Profile& profile = find_profile(chip + "/" + route);
            ASSERT_TRUE(profile.time && profile.energy) << profile.name;
            const auto count = [&](std::string_view prefix) {
                return std::count_if(
                    profile.facts.begin(), profile.facts.end(),
                    [&](const Fact& fact) { return fact.key.starts_with(prefix); });
            };
            EXPECT_EQ(count("time."), 28) << profile.name;
            EXPECT_EQ(count("energy."), 5) << profile.name;
        }
    }
    // Nobody measured an M3's power.
    const Profile& m3 = find_profile("m3");
    const auto fact = std::find_if(m3.facts.begin(), m3.facts.end(),
                                   [](const Fact& f) { return f.key == "energy.floor_watts"; });
    ASSERT_NE(fact, m3.facts.end());
    EXPECT_EQ(fact->evidence, "assumed");
}

TEST(TimeModel, ThePartsAreWhatTheFormulaSays) {
    const Profile profile = round_profile();
    // 1x1, 512 to 512, 1024 positions: 536.9 MFLOP, 0.5 MB of weights, 2 MB through surfaces.
    const auto one = predict(cost_of("conv", {1, 512, 512, 32, 32, 1, 1}), profile);
    EXPECT_DOUBLE_EQ(one.time.dispatch, 0.1);
    EXPECT_DOUBLE_EQ(one.time.compute, 2.0 * 512 * 512 * 1024 / 10e12 * 1e3);
    EXPECT_DOUBLE_EQ(one.time.activations, 2.0 * 2 * 512 * 1024 / 10e9 * 1e3);
    EXPECT_EQ(one.time.weights, 0.0) << "they stream while the products run";
    EXPECT_EQ(one.time.wake, 0.0);
    const double bytes = 2.0 * 2 * 512 * 1024 + 2.0 * 512 * 512;
    EXPECT_DOUBLE_EQ(one.memory_bytes, bytes);
    EXPECT_DOUBLE_EQ(one.joules, 1.0 * one.time.total() / 1e3 + 2.0 * 512 * 512 * 1024 * 0.5e-12 +
                                     bytes * 100e-12);
}

TEST(TimeModel, EachBoundHasTwoSides) {
    const Profile profile = round_profile();
    const auto bound = [&](std::int64_t channels, std::int64_t positions, std::int64_t depth) {
        return predict(cost_of("conv", {1, channels, channels, 1, positions, 1, depth}), profile)
            .time.bound();
    };
    // One layer of 64 positions: weights and surfaces take 0.1 ms at 1,292 channels.
    EXPECT_EQ(bound(1280, 64, 1), Bound::dispatch);
    EXPECT_EQ(bound(1312, 64, 1), Bound::bandwidth);
    // A chain of 512 channels, 1,024 positions: 0.0537 ms of products a layer, 0.21 ms of surfaces.
    EXPECT_EQ(bound(512, 1024, 3), Bound::bandwidth);
    EXPECT_EQ(bound(512, 1024, 5), Bound::compute);
    // 64 channels, 64 positions: 0.16 us of constants a layer.
    EXPECT_EQ(bound(64, 64, 500), Bound::dispatch);
    EXPECT_EQ(bound(64, 64, 700), Bound::bandwidth);
}

TEST(TimeModel, ProductsWaitForConstantsOnlyWhenThoseTakeLonger) {
    const Profile profile = round_profile();
    // 2 n flops against 2 bytes a weight: equal at 200 positions for 10 TFLOP/s and 50 GB/s.
    const auto below = predict(cost_of("matmul", {190, 1024, 1024}), profile).time;
    EXPECT_GT(below.weights, 0.0);
    EXPECT_EQ(below.compute, 0.0);
    const auto above = predict(cost_of("matmul", {210, 1024, 1024}), profile).time;
    EXPECT_EQ(above.weights, 0.0);
    EXPECT_GT(above.compute, 0.0);
}

TEST(TimeModel, LargeConstantsStreamOnceForEveryHalfOperandOfPositions) {
    Profile profile = round_profile();
    profile.time->working_set_bytes = 1 << 30;
    // Half of 2 MiB holds 256 rows of 2,048 fp16.
    const auto weights = [&](std::int64_t rows) {
        return predict(cost_of("matmul", {rows, 2048, 1024}), profile).memory_bytes -
               2.0 * static_cast<double>(rows) * (2048 + 1024);
    };
    EXPECT_DOUBLE_EQ(weights(256), 2.0 * 2048 * 1024);
    EXPECT_DOUBLE_EQ(weights(257), 2 * 2.0 * 2048 * 1024);
    EXPECT_DOUBLE_EQ(weights(513), 3 * 2.0 * 2048 * 1024);
    // Constants that fit into one operand's memory stay there: 2 MiB and a column more.
    const auto small = [&](std::int64_t outputs) {
        return predict(cost_of("matmul", {300, 2048, outputs}), profile)
            .operations.back()
            .memory_bytes;
    };
    EXPECT_DOUBLE_EQ(small(512), 2.0 * 2048 * 512);
    EXPECT_GT(small(513), 2 * 2.0 * 2048 * 513 - 1.0);
}

TEST(TimeModel, ActivationsPastTheWorkingSetGoThroughMemory) {
    const Profile profile = round_profile();
    // In and out of one layer, 512 channels: 2 MiB at 1,024 positions.
    const auto traffic = [&](std::int64_t positions) {
        return predict(cost_of("conv", {1, 512, 512, 1, positions, 1, 1}), profile)
                   .operations.back()
                   .memory_bytes -
               2.0 * 512 * 512;
    };
    EXPECT_DOUBLE_EQ(traffic(1024), 0.0);
    EXPECT_DOUBLE_EQ(traffic(1025), 2.0 * 2 * 512 * 1025);
}

TEST(TimeModel, FewOutputChannelsUseAPartOfTheCores) {
    const Profile profile = round_profile();
    const auto compute = [&](std::int64_t outputs) {
        return predict(cost_of("conv", {1, 512, outputs, 32, 32, 3, 1}), profile).time.compute;
    };
    EXPECT_DOUBLE_EQ(compute(64), compute(32)) << "half the work on half the cores";
    EXPECT_NEAR(compute(128), 2.0 * compute(64), 1e-12);
}

TEST(TimeModel, MultiplesOf4096ChannelsStreamSlowly) {
    const Profile profile = round_profile();
    const auto weights = [&](std::int64_t channels) {
        const auto time =
            predict(cost_of("conv", {1, channels, channels, 1, 64, 1, 1}), profile).time;
        return time.weights / static_cast<double>(channels * channels);
    };
    EXPECT_DOUBLE_EQ(weights(4096), 2.0 * weights(4608));
    EXPECT_DOUBLE_EQ(weights(8192), 2.0 * weights(3584));
    // A matmul's operand is not a kernel.
    const auto matmul = predict(cost_of("matmul", {64, 4096, 4096}), profile).time;
    EXPECT_DOUBLE_EQ(matmul.weights, 2.0 * 4096 * 4096 / 50e9 * 1e3);
}

TEST(TimeModel, ThreeByThreeIsWinogradOnM5AndM6Only) {
    const auto ratio = [&](std::string_view chip, std::int64_t kernel) {
        const Profile& profile = find_profile(chip);
        const auto cost = cost_of("conv", {1, 256, 256, 64, 64, kernel, 1});
        const double direct = cost.flops() / (profile.time->convolution_tflops * 1e12) * 1e3;
        return direct / (predict(cost, profile).time.compute - profile.time->layer_us / 1e3);
    };
    EXPECT_NEAR(ratio("m4", 3), 1.0, 1e-9);
    EXPECT_NEAR(ratio("m5", 3), 1.5, 1e-9);
    EXPECT_NEAR(ratio("m6", 3), 1.5, 1e-9);
    EXPECT_NEAR(ratio("m5", 5), 1.0, 1e-9);
}

TEST(TimeModel, Int8ProductsGainWhereBothSidesAreInt8) {
    const Profile profile = round_profile();
    const auto fp16 = predict(cost_of("conv", {1, 512, 512, 64, 64, 1, 1}), profile);
    const auto int8 = predict(cost_of("conv", {1, 512, 512, 64, 64, 1, 1}, {"int8"}), profile);
    EXPECT_NEAR(int8.time.compute, fp16.time.compute / 2.0, 1e-12);
    const auto weights =
        predict(cost_of("matmul", {1, 4096, 4096}, {"int8"}), profile).time.weights;
    EXPECT_NEAR(weights, 0.5 * predict(cost_of("matmul", {1, 4096, 4096}), profile).time.weights,
                1e-3)
        << "int8 weights alone stream faster and multiply no faster";
}

TEST(TimeModel, TheEngineWakesInTwoStages) {
    const auto cost = cost_of("conv", {1, 64, 64, 1, 64, 1, 1});
    const auto wake = [&](std::string_view chip, double idle) {
        return predict(cost, find_profile(chip), {idle}).time.wake;
    };
    EXPECT_EQ(wake("m1", 99.0), 0.0);
    EXPECT_EQ(wake("m1", 100.0), 0.5);
    EXPECT_EQ(wake("m1", 4999.0), 0.5);
    EXPECT_EQ(wake("m1", 5000.0), 260.0);
    EXPECT_EQ(wake("m6", 5699.0), 0.5);
    EXPECT_EQ(wake("m6", 5700.0), 50.0);
}

TEST(TimeModel, DisputedFactsAreAlternatives) {
    const auto cost = cost_of("conv", {1, 512, 512, 64, 64, 1, 1});  // 8 MiB in and out
    const auto traffic = [&](std::string_view name) {
        return predict(cost, find_profile(name)).operations.back().memory_bytes;
    };
    EXPECT_GT(traffic("m4"), traffic("m4+working-set-32mb"));
    EXPECT_EQ(predict(cost, find_profile("m1+never-off"), {6000.0}).time.wake, 0.5);
    EXPECT_EQ(predict(cost, find_profile("m1"), {6000.0}).time.wake, 260.0);
}

TEST(TimeModel, TheRouteDecidesWhatSurfacesCost) {
    const auto cost = cost_of("unary", {1024, 1024}, {"relu"});
    EXPECT_GT(time_of("m4/e5rt", cost).activations,
              2.0 * time_of("m4/in-memory", cost).activations);
    // No route is faster than memory.
    Profile profile = round_profile();
    profile.time->boundary_factor = 1e3;
    const auto fast = predict(cost_of("conv", {1, 64, 64, 1, 64, 1, 1}), profile).time;
    EXPECT_DOUBLE_EQ(fast.activations, 2.0 * 2 * 64 * 64 / 100e9 * 1e3);
}

TEST(TimeModel, MoreWorkNeverTakesLessTime) {
    for (const auto& chip : known_chips()) {
        double before = 0.0;
        for (const std::int64_t size : {64, 128, 256, 512, 1024, 2048}) {
            const double now = time_of(chip, cost_of("matmul", {size, size, size})).total();
            EXPECT_GT(now, before) << chip << " " << size;
            before = now;
        }
    }
}

TEST(TimeModel, TheHostHasTwoRatesAndSharesThemAmongClusters) {
    Profile profile = round_profile();
    profile.time->host_tflops = 2.0;
    profile.time->host_gbs = 50.0;
    profile.time->host_clusters = 2;
    EXPECT_DOUBLE_EQ(predict_host({4e9, 1e8}, profile), 1.0 + 1.0);
}

TEST(TimeModel, AProfileWithoutTimeNamesTheWayOut) {
    Profile profile = find_profile("m4");
    profile.time.reset();
    profile.name = "m9";
    EXPECT_EQ(
        error_text([&] { predict(ProgramCost{}, profile); }),
        "[device.time_model] profile 'm9' has no facts about time; give its file a [time] and "
        "an [energy] table (docs/time-model.md lists the keys) or plan for one of the "
        "built-in chips");
}

}  // namespace
}  // namespace pome::device::emulator
