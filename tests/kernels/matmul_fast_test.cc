#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/matmul.h"
#include "support/normal_floats.h"

namespace pome::kernels {
namespace {

using test::normal_floats;

std::vector<fp16> draw(std::int64_t count, double deviation, Random& random) {
    std::vector<fp16> values(static_cast<std::size_t>(count));
    for (auto& v : values) {
        v = to_fp16(deviation * random.normal(), Rounding::nearest_even);
    }
    return values;
}

/// Against double: K additions in fp32 (each 2^-24 of a partial sum, at most sum |a b| + |bias|),
/// then one rounding to fp16 (2^-11 of the result, 2^-25 for subnormals).
void check(std::int64_t m, std::int64_t k, std::int64_t n, bool a_by_columns, bool b_by_columns,
           int threads) {
    Random random(static_cast<std::uint64_t>(m * 1000 + k));
    const auto a = draw(m * k, 1.0, random), b = draw(k * n, 0.1, random);
    std::vector<float> bias(static_cast<std::size_t>(m));
    for (auto& v : bias) {
        v = static_cast<float>(random.normal());
    }
    std::vector<fp16> y(static_cast<std::size_t>(m * n));
    const MatmulJob job{a_by_columns ? Matrix{a.data(), m, k, 1, m} : Matrix{a.data(), m, k, k, 1},
                        b_by_columns ? Matrix{b.data(), k, n, 1, k} : Matrix{b.data(), k, n, n, 1},
                        y.data(), n, bias.data()};
    ThreadPool pool(threads);
    MatmulScratch scratch;
    matmul_fast({&job, 1}, pool, scratch);
    for (std::int64_t r = 0; r < m; ++r) {
        for (std::int64_t c = 0; c < n; ++c) {
            double sum = static_cast<double>(bias[static_cast<std::size_t>(r)]),
                   size = std::fabs(sum);
            for (std::int64_t i = 0; i < k; ++i) {
                const auto x = job.a.data[r * job.a.row_stride + i * job.a.column_stride];
                const auto w = job.b.data[i * job.b.row_stride + c * job.b.column_stride];
                const double p =
                    static_cast<double>(to_float(x)) * static_cast<double>(to_float(w));
                sum += p;
                size += std::fabs(p);
            }
            const double summing = static_cast<double>(k) * 0x1p-24 * size * 1.01;
            const double bound = summing + 0x1p-11 * (std::fabs(sum) + summing) + 0x1p-25;
            const auto got = static_cast<double>(to_float(y[static_cast<std::size_t>(r * n + c)]));
            ASSERT_LE(std::fabs(got - sum), bound) << "row " << r << " column " << c;
        }
    }
}

TEST(MatmulFast, IsWithinItsBound) {
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        for (const int threads : {1, 2}) {
            check(1, 1, 1, false, false, threads);
            check(13, 77, 35, false, false, threads);
            check(70, 300, 65, true, false, threads);
            check(64, 129, 96, false, true, threads);
            check(5, 0, 33, false, false, threads);
        }
        hwy::SetSupportedTargetsForTest(0);
    }
}

/// y += a b, rows of y further apart than they are long: what lies between stays.
TEST(MatmulAdd, AddsInFp32StepByStep) {
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        for (const auto& [m, k, n] : {std::array{1, 1, 1},
                                      {13, 77, 35},
                                      {70, 300, 65},
                                      {64, 256, 96},
                                      {5, 0, 33},
                                      {3, 128, 32}}) {
            SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(k) + " x " + std::to_string(n));
            Random random(static_cast<std::uint64_t>(m * 1000 + k));
            const auto a = draw(m * k, 1.0, random), b = draw(n * k, 0.1, random);
            const std::int64_t stride = n + 3;
            std::vector<float> before(static_cast<std::size_t>(m * stride));
            for (auto& value : before) {
                value = static_cast<float>(random.normal());
            }
            for (const int threads : {1, 2}) {
                std::vector<float> y = before, expected = before;
                // As weight gradients are: both operands have their positions side by side.
                const MatmulSum job{
                    {a.data(), m, k, k, 1}, {b.data(), k, n, 1, k}, y.data(), stride};
                for (std::int64_t r = 0; r < m; ++r) {
                    for (std::int64_t c = 0; c < n; ++c) {
                        float& sum = expected[static_cast<std::size_t>(r * stride + c)];
                        for (std::int64_t i = 0; i < k;
                             ++i) {  // a product of fp16 is exact in fp32
                            sum += to_float(a[static_cast<std::size_t>(r * k + i)]) *
                                   to_float(b[static_cast<std::size_t>(c * k + i)]);
                        }
                    }
                }
                ThreadPool pool(threads);
                MatmulScratch scratch;
                matmul_add({&job, 1}, pool, scratch);
                EXPECT_EQ(y, expected);
            }
        }
        hwy::SetSupportedTargetsForTest(0);
    }
}

/// Every layout of the operands and of y, results added and not, more steps than are packed at
/// once.
TEST(MatmulFloats, EqualsSumsInDoubleWithinTheirRounding) {
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        for (const auto& [m, k, n] : {std::array{1, 1, 1},
                                      {13, 77, 35},
                                      {64, 256, 96},
                                      {24, 2500, 33},
                                      {5, 0, 33},
                                      {70, 100, 64}}) {
            for (int layout = 0; layout < 16; ++layout) {
                const bool a_by_columns = (layout & 1) != 0, b_by_columns = (layout & 2) != 0,
                           y_by_columns = (layout & 4) != 0, adds = (layout & 8) != 0;
                SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(k) + " x " +
                             std::to_string(n) + ", layout " + std::to_string(layout));
                Random random(static_cast<std::uint64_t>(m * 1000 + k));
                const auto a = normal_floats(m * k, random), b = normal_floats(n * k, random);
                const std::int64_t pitch = (y_by_columns ? m : n) + 3;
                const auto before = normal_floats(pitch * (y_by_columns ? n : m), random);
                const FloatMatrix a_of{a.data(), m, k, a_by_columns ? 1 : k, a_by_columns ? m : 1},
                    b_of{b.data(), k, n, b_by_columns ? 1 : n, b_by_columns ? k : 1};
                std::vector<float> first;
                for (const int threads : {1, 2}) {
                    ThreadPool pool(threads);
                    MatmulScratch scratch;
                    std::vector<float> y = before;
                    const std::int64_t row_stride = y_by_columns ? 1 : pitch,
                                       column_stride = y_by_columns ? pitch : 1;
                    matmul_floats({a_of, b_of, 0.75F, adds, y.data(), row_stride, column_stride},
                                  pool, scratch);
                    std::vector<bool> written(y.size());
                    for (std::int64_t r = 0; r < m; ++r) {
                        for (std::int64_t c = 0; c < n; ++c) {
                            const auto i =
                                static_cast<std::size_t>(r * row_stride + c * column_stride);
                            written[i] = true;
                            double sum = adds ? static_cast<double>(before[i]) : 0.0, size = 1.0;
                            for (std::int64_t j = 0; j < k; ++j) {
                                const double term =
                                    0.75 *
                                    static_cast<double>(a[static_cast<std::size_t>(
                                        r * a_of.row_stride + j * a_of.column_stride)]) *
                                    static_cast<double>(b[static_cast<std::size_t>(
                                        j * b_of.row_stride + c * b_of.column_stride)]);
                                sum += term;
                                size += std::fabs(term);
                            }
                            ASSERT_NEAR(static_cast<double>(y[i]), sum, 1e-6 * size)
                                << r << ' ' << c;
                        }
                    }
                    for (std::size_t i = 0; i < y.size(); ++i) {
                        ASSERT_TRUE(written[i] || y[i] == before[i]) << i;
                    }
                    if (first.empty()) {
                        first = y;
                    }
                    EXPECT_EQ(y, first);  // whatever the threads
                }
            }
        }
        hwy::SetSupportedTargetsForTest(0);
    }
}

TEST(MatmulFast, KeepsInfinitiesAndNan) {
    const std::vector<fp16> a{fp16{0x7C00}, fp16{0x3C00}, fp16{0x7C01}}, one{fp16{0x3C00}};
    const std::vector<fp16> huge{fp16{0x7BFF}, fp16{0x7BFF}}, ones{fp16{0x3C00}, fp16{0x3C00}};
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        ThreadPool pool(1);
        MatmulScratch scratch;
        fp16 y[4];
        const MatmulJob jobs[] = {
            {{a.data(), 3, 1, 1, 1}, {one.data(), 1, 1, 1, 1}, y, 1, nullptr},
            {{huge.data(), 1, 2, 2, 1}, {ones.data(), 2, 1, 1, 1}, y + 3, 1, nullptr}};
        matmul_fast(jobs, pool, scratch);
        EXPECT_EQ(y[0].bits, 0x7C00);
        EXPECT_EQ(y[1].bits, 0x3C00);
        EXPECT_TRUE(is_nan(y[2]));
        EXPECT_EQ(y[3].bits, 0x7C00);  // 131008: no ceiling at 2^15, but fp16 ends
        hwy::SetSupportedTargetsForTest(0);
    }
}

}  // namespace
}  // namespace pome::kernels
