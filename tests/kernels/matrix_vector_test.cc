#include "kernels/matrix_vector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/targets.h"

namespace pome::kernels {
namespace {

std::vector<fp16> draw(std::int64_t count, double deviation, Random& random) {
    std::vector<fp16> values(static_cast<std::size_t>(count));
    for (auto& v : values) {
        v = to_fp16(deviation * random.normal(), Rounding::nearest_even);
    }
    return values;
}

/// A product of `rows` vectors with a matrix [inner, columns], in either of its two forms.
struct Product {
    std::vector<fp16> x, w, y;
    MatmulJob job{};

    Product(std::int64_t rows, std::int64_t inner, std::int64_t columns, double x_deviation,
            double w_deviation, std::uint64_t seed) {
        Random random(seed);
        x = draw(rows * inner, x_deviation, random);
        w = draw(inner * columns, w_deviation, random);
        y.resize(static_cast<std::size_t>(rows * columns));
        job = {{x.data(), rows, inner, inner, 1},
               {w.data(), inner, columns, columns, 1},
               y.data(),
               columns,
               nullptr};
    }
    /// The same as a column: y[m] = sum_k w[k, m] x[k].
    void turn() {
        job.a = {w.data(), job.b.columns, job.b.rows, 1, job.b.columns};
        job.b = {x.data(), static_cast<std::int64_t>(x.size()), 1, 1, 1};
        job.y_row_stride = 1;
    }
};

struct Size {
    std::int64_t rows, inner, columns;
};
constexpr Size sizes[] = {{1, 1, 1},     {1, 7, 31},   {1, 8, 64},    {1, 64, 33},
                          {1, 100, 257}, {1, 17, 129}, {1, 24, 2100}, {8, 48, 96},
                          {3, 33, 128},  {1, 0, 40},   {1, 400, 70}};

void expect_equal(const Product& product, const std::vector<fp16>& want) {
    for (std::size_t i = 0; i < want.size(); ++i) {
        ASSERT_EQ(product.y[i].bits, want[i].bits) << "result " << i << " of " << want.size();
    }
}

TEST(MatrixVector, FastHasTheBitsOfTheGeneralProduct) {
    for_every_target([] {
        for (const int threads : {1, 2}) {
            ThreadPool pool(threads);
            MatmulScratch scratch;
            for (const Size& size : sizes) {
                for (const bool turned : {false, true}) {
                    Product product(size.rows, size.inner, size.columns, 1.0, 0.1, 7);
                    if (turned && size.rows == 1) {
                        product.turn();
                    }
                    ASSERT_TRUE(is_matrix_vector(product.job));
                    matmul_fast({&product.job, 1}, pool, scratch);
                    const auto want = product.y;
                    std::fill(product.y.begin(), product.y.end(), fp16{0x1234});
                    matrix_vector_fast({&product.job, 1}, pool);
                    expect_equal(product, want);
                }
            }
        }
    });
}

// Cut along k, into columns, and both beyond the caches.
TEST(MatrixVector, LargeProductsHaveTheSameBitsByAnyNumberOfThreads) {
    for (const Size& size : {Size{1, 300, 400}, {1, 700, 777}, {1, 70, 20000}, {2, 900, 512}}) {
        Product product(size.rows, size.inner, size.columns, 1.0, 0.1, 7);
        ThreadPool one(1);
        MatmulScratch scratch;
        MatmulStatistics statistics;
        matmul_fast({&product.job, 1}, one, scratch);
        const auto general = product.y;
        matrix_vector_fast({&product.job, 1}, one);
        const auto fast = product.y;
        for (std::size_t i = 0; i < fast.size(); ++i) {
            // Half a unit of fp16 each, and fp32 sums of some hundred terms of about 0.1.
            const double want = to_float(general[i]), got = to_float(fast[i]);
            ASSERT_NEAR(got, want, 0x1p-10 * std::fabs(want) + 1e-5) << i;
        }
        matmul_exact({&product.job, 1}, {}, one, scratch, &statistics);
        const auto exact = product.y;
        for (const int threads : {1, 2, 3, 5}) {
            ThreadPool pool(threads);
            matrix_vector_fast({&product.job, 1}, pool);
            expect_equal(product, fast);
            matrix_vector_exact({&product.job, 1}, pool, scratch, &statistics);
            expect_equal(product, exact);
        }
    }
}

// The deviations reach every way: small products that are dropped or vanish, ordinary ones, groups
// whose sums leave the quick range, single products that do, and sums beyond the limit.
TEST(MatrixVector, ExactHasTheBitsAndCountsOfTheGeneralProduct) {
    for_every_target([] {
        ThreadPool pool(2);
        MatmulScratch scratch;
        std::int64_t saturated = 0;
        for (const Size& size : sizes) {
            for (const double x_deviation : {1e-4, 0.02, 1.0, 4.0, 40.0, 300.0}) {
                for (const double w_deviation : {1e-4, 0.02, 1.0, 30.0}) {
                    Product product(size.rows, size.inner, size.columns, x_deviation, w_deviation,
                                    11);
                    if (size.rows == 1 && size.inner % 2 == 0) {
                        product.turn();
                    }
                    MatmulStatistics wanted, counted;
                    matmul_exact({&product.job, 1}, {}, pool, scratch, &wanted);
                    const auto want = product.y;
                    std::fill(product.y.begin(), product.y.end(), fp16{0x1234});
                    matrix_vector_exact({&product.job, 1}, pool, scratch, &counted);
                    expect_equal(product, want);
                    EXPECT_EQ(counted.saturated, wanted.saturated);
                    saturated += wanted.saturated;
                }
            }
        }
        EXPECT_GT(saturated, 0);
    });
}

// All pairs of a sample of bit patterns, infinities, NaN and subnormals among them: one product
// each, and sums of two with ties.
TEST(MatrixVector, ExactHasTheBitsOfTheGeneralProductForAllKindsOfOperands) {
    for_every_target([] {
        ThreadPool pool(1);
        MatmulScratch scratch;
        std::vector<fp16> patterns;
        for (std::uint32_t bits = 0; bits < 0x10000; bits += 97) {
            patterns.push_back(fp16{static_cast<std::uint16_t>(bits)});
        }
        for (const int bits : {0x0001, 0x03FF, 0x0400, 0x7BFF, 0x7C00, 0xFC00, 0x7FFF}) {
            patterns.push_back(fp16{static_cast<std::uint16_t>(bits)});
        }
        const auto columns = static_cast<std::int64_t>(patterns.size());
        std::vector<fp16> y(patterns.size()), want(patterns.size());
        for (std::size_t i = 0; i + 1 < patterns.size(); i += 3) {
            const fp16 x[2] = {patterns[i], fp16{0x1401}};  // 2^-10, about
            std::vector<fp16> w = patterns;
            w.insert(w.end(), patterns.rbegin(), patterns.rend());
            for (const std::int64_t inner : {1, 2}) {
                MatmulJob job{{x, 1, inner, inner, 1},
                              {w.data(), inner, columns, columns, 1},
                              want.data(),
                              columns,
                              nullptr};
                MatmulStatistics wanted, counted;
                matmul_exact({&job, 1}, {}, pool, scratch, &wanted);
                job.y = y.data();
                matrix_vector_exact({&job, 1}, pool, scratch, &counted);
                for (std::size_t n = 0; n < want.size(); ++n) {
                    ASSERT_EQ(y[n].bits, want[n].bits)
                        << "x " << x[0].bits << ", w " << patterns[n].bits << ", inner " << inner;
                }
                EXPECT_EQ(counted.saturated, wanted.saturated);
            }
        }
    });
}

TEST(MatrixVector, ManyJobsShareTheThreads) {
    ThreadPool pool(2);
    MatmulScratch scratch;
    std::vector<Product> products;
    std::vector<MatmulJob> jobs;
    std::vector<std::vector<fp16>> want;
    for (std::uint64_t i = 0; i < 13; ++i) {
        products.emplace_back(1, 64, 100 + 50 * static_cast<std::int64_t>(i), 1.0, 0.3, i);
    }
    for (Product& product : products) {
        matmul_exact({&product.job, 1}, {}, pool, scratch, nullptr);
        want.push_back(product.y);
        std::fill(product.y.begin(), product.y.end(), fp16{});
        jobs.push_back(product.job);
    }
    matrix_vector_exact(jobs, pool, scratch, nullptr);
    for (std::size_t i = 0; i < products.size(); ++i) {
        expect_equal(products[i], want[i]);
    }
}

TEST(MatrixVector, KnowsWhatItIsNotFor) {
    const Product product(1, 16, 16, 1.0, 1.0, 1);
    MatmulJob many = product.job, strided = product.job, biased = product.job;
    many.a.rows = 9;
    strided.b = {product.w.data(), 16, 16, 1, 16};
    const float bias = 1.0F;
    biased.bias = &bias;
    EXPECT_TRUE(is_matrix_vector(product.job));
    EXPECT_FALSE(is_matrix_vector(many));
    EXPECT_FALSE(is_matrix_vector(strided));
    EXPECT_FALSE(is_matrix_vector(biased));
}

/// Against double: K fused additions in fp32, each off by 2^-24 of a partial sum, at most
/// sum |x w|; without fused ones the products are rounded too.
TEST(MatrixVector, WideSumsAreWithinTheirBound) {
    for_every_target([] {
        ThreadPool pool(2);
        Random random(3);
        constexpr std::int64_t inner = 300, columns = 700, stride = 704;
        const auto w = draw(inner * stride, 0.1, random);
        std::vector<float> x(inner), y(columns);
        for (auto& v : x) {
            v = static_cast<float>(random.normal());
        }
        matrix_vector(x.data(), w.data(), inner, columns, stride, y.data(), pool);
        for (std::int64_t n = 0; n < columns; ++n) {
            double sum = 0.0, size = 0.0;
            for (std::int64_t k = 0; k < inner; ++k) {
                const double p =
                    static_cast<double>(x[static_cast<std::size_t>(k)]) *
                    static_cast<double>(to_float(w[static_cast<std::size_t>(k * stride + n)]));
                sum += p;
                size += std::fabs(p);
            }
            ASSERT_LE(std::fabs(static_cast<double>(y[static_cast<std::size_t>(n)]) - sum),
                      (inner + 1) * 0x1p-24 * size * 1.01);
        }
    });
}

}  // namespace
}  // namespace pome::kernels
