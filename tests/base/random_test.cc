#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace pome {
namespace {

// The authors' C code (xoshiro256starstar.c) from the state 1, 2, 3, 4; also in rand_xoshiro's
// tests.
TEST(RandomNumbers, AreXoshiro256StarStar) {
    Random random(Random::State{1, 2, 3, 4});
    for (const std::uint64_t expected : {11520U, 0U, 1509978240U}) {
        EXPECT_EQ(random.next(), expected);
    }
    for (const std::uint64_t expected :
         {1215971899390074240U, 1216172134540287360U, 607988272756665600U, 16172922978634559625U,
          8476171486693032832U, 10595114339597558777U, 2904607092377533576U}) {
        EXPECT_EQ(random.next(), expected);
    }
}

// The published first outputs of splitmix64 from 1234567.
TEST(RandomNumbers, AreSeededBySplitmix64) {
    EXPECT_EQ(Random(1234567).state(), (Random::State{6457827717110365317U, 3203168211198807973U,
                                                      9817491932198370423U, 4593380528125082431U}));
}

TEST(RandomNumbers, ASavedStateGoesOnAsIfNothingHappened) {
    Random random(7);
    random.normal();
    Random copy(random.state());
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(copy.normal(), random.normal());
        ASSERT_EQ(copy.below(10), random.below(10));
    }
}

TEST(RandomNumbers, BoundsHoldAndEveryValueComes) {
    Random random(3);
    std::vector<int> counts(6);
    for (int i = 0; i < 60000; ++i) {
        ++counts.at(random.below(6));
    }
    // 10,000 expected, standard deviation 91: six of them.
    for (const int count : counts) {
        EXPECT_NEAR(count, 10000, 550);
    }
    EXPECT_EQ(random.below(1), 0U);
    EXPECT_LT(random.below(std::uint64_t{1} << 63), std::uint64_t{1} << 63);
    for (int i = 0; i < 10000; ++i) {
        const double u = random.uniform(), v = random.uniform(-2.0, 3.0);
        ASSERT_TRUE(u >= 0.0 && u < 1.0 && v >= -2.0 && v < 3.0);
    }
}

TEST(RandomNumbers, NormalHasItsMoments) {
    Random random(11);
    constexpr int count = 200000;
    double sum = 0, squares = 0, fourth = 0;
    for (int i = 0; i < count; ++i) {
        const double x = random.normal();
        sum += x, squares += x * x, fourth += x * x * x * x;
    }
    // Standard errors 1, sqrt(2) and sqrt(96) over sqrt(count); six of each.
    const double error = 6 / std::sqrt(count);
    EXPECT_NEAR(sum / count, 0.0, error);
    EXPECT_NEAR(squares / count, 1.0, std::sqrt(2.0) * error);
    EXPECT_NEAR(fourth / count, 3.0, std::sqrt(96.0) * error);
}

}  // namespace
}  // namespace pome
