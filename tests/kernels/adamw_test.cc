#include "kernels/adamw.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "kernels/targets.h"

namespace pome::kernels {
namespace {

/// Eight chains a block of 65536, added one after another: the order that makes runs repeat on
/// every processor.
double eight_chains(const std::vector<float>& values) {
    constexpr std::size_t block = 65536;
    double total = 0.0;
    for (std::size_t first = 0; first < values.size(); first += block) {
        double chains[8] = {}, sum = 0.0;
        for (std::size_t i = first; i < std::min(first + block, values.size()); ++i) {
            chains[i % 8] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        }
        for (const double chain : chains) {
            sum += chain;
        }
        total += sum;
    }
    return total;
}

TEST(SumOfSquares, HasTheSameBitsAtEveryTargetAndNumberOfThreads) {
    Random random(5);
    for (const std::size_t count : {0U, 1U, 7U, 8U, 65535U, 65536U, 200003U}) {
        std::vector<float> values(count);
        for (float& value : values) {
            value = static_cast<float>(random.normal());
        }
        for_every_target([&] {
            for (const int threads : {1, 3}) {
                ThreadPool pool(threads);
                EXPECT_EQ(sum_of_squares(values, pool), eight_chains(values)) << count;
            }
        });
    }
}

}  // namespace
}  // namespace pome::kernels
