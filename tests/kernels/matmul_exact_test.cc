#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/matmul.h"
#include "kernels/targets.h"
#include "reference/chip/multiply_accumulate.h"

namespace pome::kernels {
namespace {

enum class Draw { any_bits, small, normal, near_the_drop, large };

fp16 draw(Random& random, Draw kind) {
    const auto bits = static_cast<std::uint16_t>(random.next());
    const auto with_exponent = [&](std::uint64_t low, std::uint64_t count) {
        return fp16{static_cast<std::uint16_t>((bits & 0x83FF) | ((low + random.below(count)) << 10))};
    };
    switch (kind) {
    case Draw::any_bits: return fp16{bits};                      // infinities and NaN too
    case Draw::small: return with_exponent(0, 10);               // subnormals and zeros
    case Draw::normal: return to_fp16(random.normal() * 0.03, Rounding::nearest_even);
    case Draw::near_the_drop: return with_exponent(5, 4);        // sums of exponents around -17
    case Draw::large: return with_exponent(18, 6);               // overflow at 2^15, cancelling
    }
    return {};
}

struct Case {
    std::int64_t m, n, k;
    bool transpose_a, transpose_b;
    Draw a, b;
    bool bias;
};

/// Products compared with the scalar model; returns their number.
std::int64_t compare(const Case& c, Random& random, ThreadPool& pool, const Numerics::MultiplyAccumulate& rules) {
    std::vector<fp16> a(static_cast<std::size_t>(c.m * c.k)), b(static_cast<std::size_t>(c.k * c.n)), y(static_cast<std::size_t>(c.m * c.n));
    std::vector<float> bias(static_cast<std::size_t>(c.m));
    for (auto& value : a) { value = draw(random, c.a); }
    for (auto& value : b) { value = draw(random, c.b); }
    for (auto& value : bias) { value = static_cast<float>(random.normal()); }
    MatmulJob job{{a.data(), c.m, c.k, c.transpose_a ? 1 : c.k, c.transpose_a ? c.m : 1},
                  {b.data(), c.k, c.n, c.transpose_b ? 1 : c.n, c.transpose_b ? c.k : 1},
                  y.data(), c.n, c.bias ? bias.data() : nullptr};
    MatmulScratch scratch;
    matmul_exact({&job, 1}, rules, pool, scratch, nullptr);
    std::vector<fp16> x(static_cast<std::size_t>(c.k)), w(static_cast<std::size_t>(c.k));
    for (std::int64_t i = 0; i < c.m; ++i) {
        for (std::int64_t j = 0; j < c.n; ++j) {
            for (std::int64_t k = 0; k < c.k; ++k) {
                x[static_cast<std::size_t>(k)] = job.a.data[i * job.a.row_stride + k * job.a.column_stride];
                w[static_cast<std::size_t>(k)] = job.b.data[k * job.b.row_stride + j * job.b.column_stride];
            }
            const fp16 expected = reference::chip::multiply_accumulate(x, w, c.bias ? bias[static_cast<std::size_t>(i)] : 0.0F, rules);
            EXPECT_EQ(y[static_cast<std::size_t>(i * c.n + j)].bits, expected.bits) << "row " << i << " column " << j << " of " << c.m << "x" << c.n << "x" << c.k;
            if (testing::Test::HasFailure()) { return 0; }
        }
    }
    return c.m * c.n * c.k;
}

TEST(MatmulExact, EqualsTheScalarModelOnTenMillionProductsAtEveryVectorWidth) {
    constexpr std::uint64_t seed = 7;
    for_every_target([&] {
        Random random(seed);
        std::int64_t products = 0;
        for (int round = 0; products < 10'000'000; ++round) {
            ThreadPool pool(1 + round % 2);
            const auto kind = [&] { return static_cast<Draw>(random.below(5)); };
            const Case c{static_cast<std::int64_t>(1 + random.below(70)), static_cast<std::int64_t>(1 + random.below(130)),
                         static_cast<std::int64_t>(1 + random.below(200)), random.below(2) == 1, random.below(2) == 1, kind(), kind(), random.below(3) == 0};
            products += compare(c, random, pool, {});
            ASSERT_FALSE(HasFailure()) << "seed " << seed << ", round " << round;
        }
        EXPECT_GE(products, 10'000'000);
    });
}

TEST(MatmulExact, EqualsTheScalarModelUnderOtherRules) {
    Random random(3);
    ThreadPool pool(2);
    for (int rule = 0; rule < 5; ++rule) {
        Numerics::MultiplyAccumulate rules;
        if (rule == 0) { rules.drop = false; }
        if (rule == 1) { rules.fraction_bits = 18; }
        if (rule == 2) { rules.output = Rounding::nearest_even; }
        if (rule == 3) { rules.sticky = false; }
        if (rule == 4) { rules.drop_exponent = -16; }
        for (const Draw kind : {Draw::any_bits, Draw::near_the_drop, Draw::normal, Draw::large}) { compare({9, 33, 21, false, true, kind, kind, false}, random, pool, rules); }
        ASSERT_FALSE(HasFailure()) << "rule " << rule;
    }
}

TEST(MatmulExact, ManyJobsAtOnceDoNotMix) {
    Random random(5);
    ThreadPool pool(2);
    constexpr std::int64_t m = 13, n = 40, k = 17, count = 7;
    std::vector<std::vector<fp16>> a(count), b(count), y(count), alone(count);
    std::vector<MatmulJob> jobs;
    for (std::size_t i = 0; i < count; ++i) {
        for (auto* matrix : {&a[i], &b[i]}) {
            matrix->resize(static_cast<std::size_t>(matrix == &a[i] ? m * k : k * n));
            for (auto& value : *matrix) { value = draw(random, Draw::normal); }
        }
        y[i].resize(m * n);
        alone[i].resize(m * n);
        jobs.push_back({{a[i].data(), m, k, k, 1}, {b[i].data(), k, n, n, 1}, y[i].data(), n, nullptr});
    }
    MatmulScratch scratch;
    matmul_exact(jobs, {}, pool, scratch, nullptr);
    for (std::size_t i = 0; i < count; ++i) {
        MatmulJob one = jobs[i];
        one.y = alone[i].data();
        matmul_exact({&one, 1}, {}, pool, scratch, nullptr);
        EXPECT_EQ(y[i], alone[i]);
    }
}

TEST(MatmulFast, StaysWithinTheRoundingsOfItsSum) {
    for_every_target([] {
        Random random(11);
        ThreadPool pool(2);
        MatmulScratch scratch;
        constexpr std::int64_t m = 37, n = 65, k = 300;
        std::vector<fp16> a(m * k), b(k * n), y(m * n);
        for (auto& value : a) { value = draw(random, Draw::normal); }
        for (auto& value : b) { value = to_fp16(random.normal(), Rounding::nearest_even); }
        const MatmulJob job{{a.data(), m, k, k, 1}, {b.data(), k, n, n, 1}, y.data(), n, nullptr};
        matmul_fast({&job, 1}, pool, scratch);
        for (std::int64_t i = 0; i < m; ++i) {
            for (std::int64_t j = 0; j < n; ++j) {
                double sum = 0.0, size = 0.0;
                for (std::int64_t p = 0; p < k; ++p) {
                    const double product = static_cast<double>(to_float(a[static_cast<std::size_t>(i * k + p)])) * to_float(b[static_cast<std::size_t>(p * n + j)]);
                    sum += product;
                    size += std::fabs(product);
                }
                // k roundings of fp32 on partial sums, one of fp16 on the result.
                const double bound = size * k * 0x1p-24 + std::fabs(sum) * 0x1p-11 + 0x1p-25;
                EXPECT_NEAR(to_float(y[static_cast<std::size_t>(i * n + j)]), sum, bound);
            }
        }
    });
}

}  // namespace
}  // namespace pome::kernels
