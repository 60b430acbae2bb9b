#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/targets.h"

namespace pome::kernels {
namespace {

TEST(CrossEntropy, OfProbabilitiesIsThatOfTheirLogits) {
    ThreadPool pool(2);
    const std::vector<std::int32_t> targets{2, -1, 0, 4};
    std::vector<float> logits, probabilities;
    for (int s = 0; s < 4; ++s) {
        double sum = 0.0;
        for (int v = 0; v < 5; ++v) {
            logits.push_back(static_cast<float>((s * 7 + v * 3) % 5) - 2.0F);
            sum += std::exp(static_cast<double>(logits.back()));
        }
        for (int v = 0; v < 5; ++v) {
            const double value = std::exp(static_cast<double>(logits[logits.size() - 5 + v]));
            probabilities.push_back(static_cast<float>(value / sum));
        }
    }
    const auto expected = cross_entropy(logits.data(), targets, 5, 0.25F, pool);
    const auto found =
        cross_entropy_of_probabilities(probabilities.data(), targets, 5, 0.25F, 0.0F, pool);
    EXPECT_EQ(found.counted, 3);
    EXPECT_NEAR(found.loss, expected.loss, 1e-6);
    for (std::size_t i = 0; i < logits.size(); ++i) {
        EXPECT_NEAR(probabilities[i], logits[i], 1e-7);
    }
}

/// A maximum that is overlooked makes the exponentials infinite.
TEST(CrossEntropy, FindsTheMaximumAtEveryPlace) {
    ThreadPool pool(1);
    for_every_target([&] {
        for (const std::int32_t vocabulary : {1, 15, 16, 17, 70}) {
            for (std::int32_t top = 0; top < vocabulary; ++top) {
                std::vector<float> logits(static_cast<std::size_t>(vocabulary), 0.0F);
                logits[static_cast<std::size_t>(top)] = 300.0F;
                const std::vector<std::int32_t> targets{top};
                const auto found = cross_entropy(logits.data(), targets, vocabulary, 1.0F, pool);
                EXPECT_NEAR(found.loss, 0.0, 1e-6) << top << " of " << vocabulary;
            }
        }
    });
}

TEST(CrossEntropy, AProbabilityThatVanishedIsBounded) {
    ThreadPool pool(1);
    std::vector<float> p{1.0F, 0.0F};
    const std::vector<std::int32_t> targets{1};
    const auto found = cross_entropy_of_probabilities(p.data(), targets, 2, 1.0F, 0x1p-25F, pool);
    EXPECT_NEAR(found.loss, 25.0 * std::log(2.0), 1e-12);
    EXPECT_EQ(p, (std::vector<float>{1.0F, -1.0F}));
}

}  // namespace
}  // namespace pome::kernels
