#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace pome::kernels {
namespace {

std::vector<float> draw(std::int64_t count, Random& random) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (auto& v : values) {
        v = static_cast<float>(random.normal());
    }
    return values;
}

/// Against double; K + 2 roundings of at most 2^-24 of the sum of magnitudes each.
void check(bool ta, bool tb, std::int64_t m, std::int64_t n, std::int64_t k, int threads) {
    Random random(5);
    const std::int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 2, ldc = n + 1;
    const auto a = draw((ta ? k : m) * lda, random), b = draw((tb ? n : k) * ldb, random);
    const auto before = draw(m * ldc, random);
    const float alpha = 0.75F, beta = -0.5F;
    auto c = before;
    ThreadPool pool(threads);
    gemm(ta, tb, m, n, k, alpha, a.data(), lda, b.data(), ldb, beta, c.data(), ldc, pool);
    for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            const auto old = static_cast<double>(before[static_cast<std::size_t>(i * ldc + j)]);
            double sum = static_cast<double>(beta) * old, size = std::fabs(sum);
            for (std::int64_t l = 0; l < k; ++l) {
                const float x = a[static_cast<std::size_t>(ta ? l * lda + i : i * lda + l)];
                const float w = b[static_cast<std::size_t>(tb ? j * ldb + l : l * ldb + j)];
                const double p =
                    static_cast<double>(alpha) * static_cast<double>(x) * static_cast<double>(w);
                sum += p;
                size += std::fabs(p);
            }
            const auto got = static_cast<double>(c[static_cast<std::size_t>(i * ldc + j)]);
            ASSERT_LE(std::fabs(got - sum), static_cast<double>(k + 3) * 0x1p-24 * size * 1.01)
                << "row " << i << " column " << j << (ta ? " a^T" : "") << (tb ? " b^T" : "");
        }
        const auto guard = static_cast<std::size_t>(i * ldc + n);
        ASSERT_EQ(c[guard], before[guard]) << "row " << i << ": wrote past the columns";
    }
}

TEST(Gemm, IsWithinItsBoundForAllTranspositions) {
    for (const bool ta : {false, true}) {
        for (const bool tb : {false, true}) {
            for (const int threads : {1, 2}) {
                check(ta, tb, 1, 1, 1, threads);
                check(ta, tb, 150, 70, 40, threads);
                check(ta, tb, 70, 200, 33, threads);
            }
        }
    }
}

TEST(Gemm, EmptyProductsLeaveBetaTimesC) {
    ThreadPool pool(2);
    std::vector<float> c{1.0F, 2.0F};
    gemm(false, false, 1, 2, 0, 1.0F, c.data(), 1, c.data(), 2, 0.5F, c.data(), 2, pool);
    EXPECT_EQ(c[0], 0.5F);
    EXPECT_EQ(c[1], 1.0F);
    gemm(false, false, 0, 2, 1, 1.0F, nullptr, 1, nullptr, 2, 0.5F, nullptr, 2, pool);
}

TEST(Gemm, RepeatsBitForBit) {
    Random random(9);
    const auto a = draw(300 * 200, random), b = draw(200 * 150, random);
    ThreadPool pool(2);
    std::vector<float> first(300 * 150), second(300 * 150);
    gemm(false, false, 300, 150, 200, 1.0F, a.data(), 200, b.data(), 150, 0.0F, first.data(), 150,
         pool);
    gemm(false, false, 300, 150, 200, 1.0F, a.data(), 200, b.data(), 150, 0.0F, second.data(), 150,
         pool);
    EXPECT_EQ(first, second);
}

}  // namespace
}  // namespace pome::kernels
