#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "kernels/targets.h"
#include "support/normal_floats.h"

namespace pome::kernels {
namespace {

using test::normal_floats;

/// Whole and broken squares of channels and positions; few tokens, so that most come twice.
TEST(Embedding, GathersAndScattersWhatPlainLoopsDo) {
    constexpr std::size_t vocabulary = 9;
    Random random(3);
    for (const auto& [channels, positions] :
         {std::pair<std::size_t, std::size_t>{1, 1}, {16, 16}, {40, 7}, {33, 50}, {100, 64}}) {
        SCOPED_TRACE(std::to_string(channels) + " x " + std::to_string(positions));
        const auto table = normal_floats(vocabulary * channels, random);
        const auto dx = normal_floats(channels * positions, random);
        std::vector<std::int32_t> tokens(positions);
        for (auto& token : tokens) {
            token = static_cast<std::int32_t>(random.below(vocabulary));
        }
        std::vector<float> expected(channels * positions), sums = table;
        for (std::size_t s = 0; s < positions; ++s) {
            const auto row = static_cast<std::size_t>(tokens[s]) * channels;
            for (std::size_t c = 0; c < channels; ++c) {
                expected[c * positions + s] = table[row + c];
                sums[row + c] += dx[c * positions + s];
            }
        }
        for (const int threads : {1, 2}) {
            ThreadPool pool(threads);
            for_every_target([&, count = static_cast<std::int64_t>(channels)] {
                std::vector<float> x(expected.size()), gradient = table;
                embedding_gather(table.data(), count, tokens, x.data(), pool);
                EXPECT_EQ(x, expected);
                embedding_scatter(dx.data(), count, tokens, gradient.data(), pool);
                EXPECT_EQ(gradient, sums);
            });
        }
    }
}

}  // namespace
}  // namespace pome::kernels
