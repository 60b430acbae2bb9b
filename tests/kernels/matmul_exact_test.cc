#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <functional>
#include <vector>

#include "base/random.h"
#include "kernels/matmul.h"
#include "reference/chip/multiply_accumulate.h"

namespace pome::kernels {
namespace {

using Rules = Numerics::MultiplyAccumulate;
using Draw = std::function<fp16(Random&)>;

/// Runs `body` once for every vector target that this build and this machine have.
void for_each_target(const std::function<void()>& body) {
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(hwy::TargetName(target));
        hwy::SetSupportedTargetsForTest(target);
        body();
        hwy::SetSupportedTargetsForTest(0);
    }
}

/// Storage and strides of one product; y has a guard column that must stay as it was.
struct Case {
    std::int64_t m, k, n;
    bool a_by_columns = false, b_by_columns = false;
    std::int64_t spread = 1;  ///< further factor on all strides of a and b
    std::vector<fp16> a, b, y;
    std::vector<float> bias;

    Case(std::int64_t rows, std::int64_t inner, std::int64_t columns, const Draw& draw_a,
         const Draw& draw_b, Random& random)
        : m(rows), k(inner), n(columns) {
        a_by_columns = random.below(2) == 1;
        b_by_columns = random.below(2) == 1;
        spread = random.below(4) == 0 ? 3 : 1;
        a.resize(static_cast<std::size_t>(m * k * spread));
        b.resize(static_cast<std::size_t>(k * n * spread));
        for (auto& v : a) {
            v = draw_a(random);
        }
        for (auto& v : b) {
            v = draw_b(random);
        }
    }

    MatmulJob job() {
        y.assign(static_cast<std::size_t>(m * (n + 1)), fp16{0x1234});
        const Matrix left = a_by_columns ? Matrix{a.data(), m, k, spread, m * spread}
                                         : Matrix{a.data(), m, k, k * spread, spread};
        const Matrix right = b_by_columns ? Matrix{b.data(), k, n, spread, k * spread}
                                          : Matrix{b.data(), k, n, n * spread, spread};
        return {left, right, y.data(), n + 1, bias.empty() ? nullptr : bias.data()};
    }
};

fp16 at(const Matrix& x, std::int64_t r, std::int64_t c) {
    return x.data[r * x.row_stride + c * x.column_stride];
}

/// The scalar model for every element; `saturated` counts infinities.
std::vector<fp16> expected(const MatmulJob& job, const Rules& rules, std::int64_t& saturated) {
    std::vector<fp16> result;
    std::vector<fp16> x(static_cast<std::size_t>(job.a.columns)), w(x.size());
    reference::chip::ProductCounters counters;
    for (std::int64_t r = 0; r < job.a.rows; ++r) {
        for (std::int64_t c = 0; c < job.b.columns; ++c) {
            for (std::size_t i = 0; i < x.size(); ++i) {
                x[i] = at(job.a, r, static_cast<std::int64_t>(i));
                w[i] = at(job.b, static_cast<std::int64_t>(i), c);
            }
            const float bias = job.bias != nullptr ? job.bias[r] : 0.0F;
            result.push_back(reference::chip::multiply_accumulate(x, w, bias, rules, &counters));
        }
    }
    saturated += counters.saturated;
    return result;
}

void expect_equal(const Case& c, const std::vector<fp16>& want) {
    for (std::int64_t r = 0; r < c.m; ++r) {
        for (std::int64_t j = 0; j < c.n; ++j) {
            const fp16 got = c.y[static_cast<std::size_t>(r * (c.n + 1) + j)];
            const fp16 right = want[static_cast<std::size_t>(r * c.n + j)];
            ASSERT_EQ(got.bits, right.bits)
                << "row " << r << " column " << j << " of " << c.m << "x" << c.k << "x" << c.n
                << (c.a_by_columns ? " a^T" : "") << (c.b_by_columns ? " b^T" : "");
        }
        const fp16 guard = c.y[static_cast<std::size_t>(r * (c.n + 1) + c.n)];
        ASSERT_EQ(guard.bits, 0x1234) << "row " << r << ": wrote past the columns";
    }
}

/// All cases as one call, on every target, on 1 and 2 threads. Returns blocks that were not quick
/// on the best target.
std::int64_t check(std::vector<Case>& cases, const Rules& rules = {}) {
    std::int64_t saturated = 0, slow = -1;
    std::vector<std::vector<fp16>> want;
    for (Case& c : cases) {
        want.push_back(expected(c.job(), rules, saturated));
    }
    for_each_target([&] {
        for (const int threads : {1, 2}) {
            ThreadPool pool(threads);
            MatmulScratch scratch;
            MatmulStatistics statistics;
            std::vector<MatmulJob> jobs;
            for (Case& c : cases) {
                jobs.push_back(c.job());
            }
            matmul_exact(jobs, rules, pool, scratch, &statistics);
            for (std::size_t i = 0; i < cases.size(); ++i) {
                expect_equal(cases[i], want[i]);
                if (testing::Test::HasFatalFailure()) {
                    return;
                }
            }
            if (rules.fixed_point) {
                EXPECT_EQ(statistics.saturated, saturated);
            }
            if (slow < 0) {
                slow = statistics.slow_blocks;
            }
        }
    });
    return slow;
}

fp16 any_bits(Random& random) {
    return fp16{static_cast<std::uint16_t>(random.next())};
}

/// Exponents [low, high], all fractions; one in eight is zero.
Draw exponents(int low, int high) {
    return [low, high](Random& random) {
        const auto bits = random.next();
        if (bits % 8 == 0) {
            return fp16{static_cast<std::uint16_t>(bits & 0x8000)};
        }
        const auto span = static_cast<std::uint64_t>(high - low + 1);
        const auto exponent = static_cast<std::uint64_t>(low + 15) + random.below(span);
        return fp16{static_cast<std::uint16_t>((exponent << 10) | (bits >> 10 & 0x83FF))};
    };
}

Draw normal(double deviation) {
    return [deviation](Random& random) {
        return to_fp16(deviation * random.normal(), Rounding::nearest_even);
    };
}

fp16 half(double value) {
    return to_fp16(value, Rounding::nearest_away);
}

TEST(MatmulExact, EqualsTheModelForAllBits) {
    Random random(20240601);  // the seed
    std::vector<Case> cases;
    std::int64_t products = 0;
    while (products < 10'000'000) {  // short sums: long ones of such values overflow at once
        const auto inner = static_cast<std::int64_t>(1 + random.below(8));
        cases.emplace_back(200 + random.below(100), inner, 300 + random.below(99), any_bits,
                           any_bits, random);
        products += cases.back().m * cases.back().k * cases.back().n;
    }
    EXPECT_GT(check(cases), 0);
}

TEST(MatmulExact, EqualsTheModelAcrossTheDropBoundary) {
    Random random(7);
    for (const auto& [a_low, a_high, b_low, b_high] :
         {std::array{-15, 3, -15, 0}, std::array{-9, -7, -10, -8}, std::array{-15, -13, -4, -1},
          std::array{-4, -1, -15, -13}, std::array{-3, -2, -15, -14},
          std::array{-12, -5, -12, -5}}) {
        std::vector<Case> cases;
        cases.emplace_back(64, 1000, 160, exponents(a_low, a_high), exponents(b_low, b_high),
                           random);
        cases.emplace_back(19, 129, 35, exponents(a_low, a_high), exponents(b_low, b_high), random);
        // So many rows that the rule is a mask where the target has masks.
        cases.emplace_back(531, 137, 67, exponents(a_low, a_high), exponents(b_low, b_high),
                           random);
        EXPECT_EQ(check(cases), 0)
            << "a " << a_low << ".." << a_high << " b " << b_low << ".." << b_high;
    }
}

TEST(MatmulExact, EqualsTheModelOnUsualValues) {
    Random random(11);
    for (const auto& [a, b] :
         {std::array{0.02, 1.0}, std::array{1.0, 1.0}, std::array{0.003, 0.01}}) {
        std::vector<Case> cases;
        cases.emplace_back(96, 768, 64, normal(a), normal(b), random);
        cases.emplace_back(520, 300, 64, normal(a), normal(b), random);
        for (int i = 0; i < 6; ++i) {
            cases.emplace_back(64, 64, 64, normal(a), normal(b), random);
        }
        EXPECT_EQ(check(cases), 0);
    }
}

/// Parts of K with and without the values that no hardware decodes as the engine does, zeros and
/// subnormals among them, and whole rows and columns of zeros.
TEST(MatmulExact, EqualsTheModelOnSpecialValuesAmongUsualOnes) {
    Random random(12);
    const auto mostly = [](double scale) {
        return [scale](Random& r) {
            switch (r.below(700)) {
                case 0:
                    return fp16{static_cast<std::uint16_t>(0x7C00 + r.below(3) * 0x81FF)};
                case 1:
                    return fp16{static_cast<std::uint16_t>(1 + r.below(0x3FF))};
                default:
                    return r.below(5) == 0 ? fp16{static_cast<std::uint16_t>(r.below(2) << 15)}
                                           : half(r.normal() * scale);
            }
        };
    };
    const Draw zero = [](Random&) { return fp16{0}; };
    std::vector<Case> cases;
    cases.emplace_back(40, 500, 70, mostly(0.02), mostly(0.2), random);
    cases.emplace_back(21, 33, 45, mostly(0.02), mostly(0.2), random);
    cases.emplace_back(64, 96, 64, zero, mostly(1.0), random);
    cases.emplace_back(64, 96, 64, mostly(1.0), zero, random);
    EXPECT_GT(check(cases), 0);
}

TEST(MatmulExact, EqualsTheModelOnTies) {  // products that are odd multiples of 2^-17
    Random random(13);
    const Draw odd = [](Random& r) {
        return half((2.0 * static_cast<double>(r.below(200)) - 199.0) * 0x1p-9);
    };
    const Draw other = [](Random& r) {
        return half((2.0 * static_cast<double>(r.below(400)) - 399.0) * 0x1p-8);
    };
    for (const std::int64_t inner : {1, 2, 3, 130, 700}) {
        std::vector<Case> cases;
        cases.emplace_back(33, inner, 70, odd, other, random);
        EXPECT_EQ(check(cases), 0);
    }
}

TEST(MatmulExact, EqualsTheModelWhereProductsAreLarge) {  // the wide way
    Random random(17);
    std::vector<Case> cases;
    cases.emplace_back(40, 300, 70, exponents(-15, 5), exponents(-15, 5), random);
    cases.emplace_back(17, 64, 40, normal(12.0), normal(12.0), random);
    EXPECT_GT(check(cases), 0);
}

TEST(MatmulExact, EqualsTheModelWhereSumsOverflow) {  // the ordered way: some do, some do not
    Random random(19);
    std::vector<Case> cases;
    cases.emplace_back(40, 300, 70, exponents(5, 8), exponents(0, 4), random);
    cases.emplace_back(30, 40, 33, exponents(-15, 15), exponents(-15, 15), random);
    cases.emplace_back(9, 512, 65, normal(30.0), normal(30.0), random);
    EXPECT_GT(check(cases), 0);
}

TEST(MatmulExact, TheFirstOverflowWins) {
    Random random(23);
    const Draw big = [](Random& r) { return half(r.below(2) == 0 ? 30000.0 : -30000.0); };
    const Draw one = [](Random&) { return half(1.0); };
    const Draw edge = [](Random& r) { return half(r.below(2) == 0 ? 16384.0 : -16384.0); };
    std::vector<Case> cases;
    cases.emplace_back(50, 6, 33, big, one, random);
    cases.emplace_back(33, 5, 40, one, edge, random);  // sums of exactly 2^15
    check(cases);
}

TEST(MatmulExact, OddSizesAndEmptyOnes) {
    Random random(29);
    for (const std::int64_t m : {0, 1, 7, 8, 9, 65}) {
        for (const std::int64_t k : {0, 1, 15, 17, 128, 257}) {
            std::vector<Case> cases;
            for (const std::int64_t n : {0, 1, 31, 33}) {
                cases.emplace_back(m, k, n, exponents(-15, 2), exponents(-15, 2), random);
            }
            check(cases);
        }
    }
    ThreadPool pool(2);
    MatmulScratch scratch;
    matmul_exact({}, {}, pool, scratch, nullptr);
}

TEST(MatmulExact, WideAndTallProductsShareTheirWork) {
    Random random(31);
    for (const auto& [m, k, n] :
         {std::array{3, 300, 900}, std::array{900, 300, 3}, std::array{8, 40, 2000}}) {
        std::vector<Case> cases;
        cases.emplace_back(m, k, n, exponents(-12, 0), exponents(-12, 0), random);
        check(cases);
    }
}

TEST(MatmulExact, BiasIsTheFirstValueOfTheSum) {
    Random random(37);
    std::vector<Case> cases;
    for (int i = 0; i < 3; ++i) {
        cases.emplace_back(21, 50, 40, exponents(-15, 2), exponents(-15, 2), random);
        for (std::int64_t r = 0; r < 21; ++r) {
            cases.back().bias.push_back(
                static_cast<float>(std::ldexp(random.normal(), i == 0 ? -10 : 3)));
        }
    }
    cases[2].bias[3] = 32760.0F;
    cases[2].bias[9] = -40000.0F;
    cases[2].bias[17] = HUGE_VALF;
    cases[2].bias[18] = std::nanf("");
    EXPECT_GT(check(cases), 0);
}

/// Biases next to 2^15 and small products: sums on both sides of it that need no slower way.
TEST(MatmulExact, SumsThatRoundToTheFirstOverflow) {
    Random random(38);
    std::vector<Case> cases;
    const double biases[] = {32751.99, 32752.0, 32759.5, 32759.99, 32760.0, 32760.25, 32764.0};
    for (const std::int64_t k : {1, 64, 130}) {
        for (const std::int64_t n : {1, 15, 16, 17, 31, 32, 33, 45}) {
            cases.emplace_back(14, k, n, exponents(-9, -6), exponents(-9, -6), random);
            for (std::size_t r = 0; r < 14; ++r) {
                cases.back().bias.push_back(
                    static_cast<float>(r % 2 == 0 ? biases[r / 2] : -biases[r / 2]));
            }
        }
    }
    EXPECT_EQ(check(cases), 0);
    std::int64_t saturated = 0;
    const auto results = expected(cases.back().job(), {}, saturated);
    EXPECT_GT(saturated, 0);
    EXPECT_LT(saturated, static_cast<std::int64_t>(results.size()));
}

TEST(MatmulExact, OtherRulesEqualTheModelToo) {
    Random random(41);
    std::vector<Rules> all(8);
    all[0].drop = false;
    all[1].sticky = false;
    all[2].product = Rounding::nearest_even;
    all[3].product = Rounding::toward_zero;
    all[4].output = Rounding::nearest_even;
    all[5].fraction_bits = 20;
    all[6].drop_exponent = -16;
    all[7].fixed_point = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
        SCOPED_TRACE(i);
        std::vector<Case> cases;
        cases.emplace_back(20, 40, 30, exponents(-15, 2), exponents(-15, 2), random);
        if (i != 7) {
            cases.emplace_back(20, 20, 30, any_bits, any_bits, random);
        }
        check(cases, all[i]);
    }
}

TEST(MatmulExact, PublishedMeasurements) {
    const auto one_product = [](std::vector<fp16> x, double w) {
        fp16 y;
        const auto k = static_cast<std::int64_t>(x.size());
        const std::vector<fp16> ws(x.size(), half(w));
        const MatmulJob job{{x.data(), 1, k, k, 1}, {ws.data(), k, 1, 1, 1}, &y, 1, nullptr};
        ThreadPool pool(1);
        MatmulScratch scratch;
        matmul_exact({&job, 1}, {}, pool, scratch, nullptr);
        return to_float(y);
    };
    for_each_target([&] {
        EXPECT_EQ(one_product(std::vector<fp16>(32, half(1000)), 1), 32000.0F);   // N01
        EXPECT_EQ(one_product(std::vector<fp16>(33, half(1000)), 1), HUGE_VALF);  // N02
        EXPECT_EQ(one_product({half(32752)}, 1), 32752.0F);                       // N03
        EXPECT_EQ(one_product({half(32768)}, 1), HUGE_VALF);
        EXPECT_EQ(one_product({half(30000), half(30000), half(-30000)}, 1), HUGE_VALF);      // N06
        EXPECT_EQ(one_product({half(0x1p-8)}, 0x1p-9), 0.0F);                                // N09
        EXPECT_EQ(one_product({half(0x1p-8)}, 0x1p-8), 0x1p-16F);                            // N10
        EXPECT_EQ(one_product({half(1.9990234375 * 0x1p-8)}, 1.9990234375 * 0x1p-9), 0.0F);  // N11
        EXPECT_EQ(one_product({half(0x1p-17)}, 1), 0x1p-16F);                                // N13
        EXPECT_EQ(one_product(std::vector<fp16>(4096, half(1.0 / 4096)), .0005), 0.0F);      // N25
        EXPECT_EQ(one_product({half(2048), half(1)}, 1), 2050.0F);
    });
}

}  // namespace
}  // namespace pome::kernels
