#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/convert.h"
#include "kernels/layout.h"
#include "kernels/reduction.h"
#include "kernels/softmax.h"
#include "kernels/targets.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/reduction.h"
#include "reference/chip/softmax.h"
#include "reference/chip/tables.h"

namespace pome::kernels {
namespace {

namespace chip = reference::chip;

fp16 any_bits(Random& random) {
    return fp16{static_cast<std::uint16_t>(random.next())};
}

TEST(Convert, RoundsEveryFloatAsTheScalarConversion) {
    for_every_target([] {
        Random random(1);
        std::vector<float> values;
        for (int i = 0; i < 300000; ++i) {
            // Near fp16 values and their midpoints, where rounding decides.
            const double unit = std::ldexp(1.0, static_cast<int>(random.below(44)) - 26);
            values.push_back(static_cast<float>(
                (random.uniform(-2.0, 2.0) + static_cast<double>(random.below(2048)) * 0.5) *
                unit));
        }
        values.insert(values.end(), {65519.996F, 65520.0F, -65520.0F, 1e30F, HUGE_VALF, -0.0F,
                                     0x1p-25F, 0x1.8p-25F});
        std::vector<fp16> results(values.size());
        for (const auto rounding : {Rounding::nearest_even, Rounding::nearest_away}) {
            kernels::to_fp16(values.data(), results.data(),
                             static_cast<std::int64_t>(values.size()), rounding);
            for (std::size_t i = 0; i < values.size(); ++i) {
                ASSERT_EQ(results[i].bits, pome::to_fp16(values[i], rounding).bits) << values[i];
            }
        }
    });
}

TEST(Binary, EqualsTheScalarModelOnAnyBits) {
    const std::pair<Binary, fp16 (*)(fp16, fp16, const chip::Rules&)> ops[] = {
        {Binary::add, chip::add},         {Binary::sub, chip::sub},
        {Binary::mul, chip::mul},         {Binary::real_div, chip::real_div},
        {Binary::maximum, chip::maximum}, {Binary::minimum, chip::minimum}};
    for_every_target([&] {
        Random random(2);
        constexpr std::int64_t count = 400'003;
        std::vector<fp16> x(count), y(count), out(count);
        for (auto& value : x) {
            value = any_bits(random);
        }
        for (auto& value : y) {
            value = any_bits(random);
        }
        for (std::size_t i = 0; i < 1000; ++i) {
            y[i] = fp16{static_cast<std::uint16_t>(x[i].bits ^ (i % 3 == 0 ? 0x8000 : 1))};
        }
        // Few significant bits: results of 12 bits, which are ties, are common, and so are their
        // neighbours.
        const auto short_value = [&] {
            const auto bits = static_cast<double>(random.below(1U << (5 + random.below(6))));
            return to_fp16(std::ldexp(random.below(2) == 0 ? bits : -bits,
                                      static_cast<int>(random.below(40)) - 24),
                           Rounding::nearest_even);
        };
        for (std::size_t i = 1000; i < 150'000; ++i) {
            x[i] = short_value();
            y[i] = short_value();
        }
        for (const auto rounding : {Rounding::nearest_away, Rounding::nearest_even}) {
            Numerics::Elementwise rules;
            rules.output = rounding;
            for (std::size_t op = 0; op < std::size(ops); ++op) {
                binary(ops[op].first, x.data(), false, y.data(), false, out.data(), count, rules);
                for (std::size_t i = 0; i < count; ++i) {
                    ASSERT_EQ(out[i].bits, ops[op].second(x[i], y[i], rules).bits)
                        << "op " << op << " of " << x[i].bits << " and " << y[i].bits;
                }
                binary(ops[op].first, x.data() + 5, true, y.data(), false, out.data(), 100, rules);
                for (std::size_t i = 0; i < 100; ++i) {
                    ASSERT_EQ(out[i].bits, ops[op].second(x[5], y[i], rules).bits);
                }
                // The other kinds of operands, at a count that no vector divides, in place.
                std::copy_n(x.begin() + 1000, 77, out.begin());
                binary(ops[op].first, out.data(), false, &y[1001], true, out.data(), 77, rules);
                for (std::size_t i = 0; i < 77; ++i) {
                    ASSERT_EQ(out[i].bits, ops[op].second(x[1000 + i], y[1001], rules).bits);
                }
                binary(ops[op].first, &x[1002], true, &y[1002], true, out.data(), 77, rules);
                for (std::size_t i = 0; i < 77; ++i) {
                    ASSERT_EQ(out[i].bits, ops[op].second(x[1002], y[1002], rules).bits);
                }
            }
            std::vector<fp16> all(65536);
            for (std::size_t bits = 0; bits < all.size(); ++bits) {
                all[bits].bits = static_cast<std::uint16_t>(bits);
            }
            for (std::size_t op = 0; op < std::size(ops); ++op) {  // an operand with itself
                binary(ops[op].first, all.data(), false, all.data(), false, out.data(),
                       static_cast<std::int64_t>(all.size()), rules);
                for (std::size_t i = 0; i < all.size(); ++i) {
                    ASSERT_EQ(out[i].bits, ops[op].second(all[i], all[i], rules).bits)
                        << "op " << op << " of " << i << " and itself";
                }
            }
        }
    });
}

/// Long stretches of usual values with any bits among them, and factors that make products tie,
/// vanish, overflow or be no number; results in the operands' places too.
TEST(ScaledSum, EqualsProductAndSum) {
    const std::uint16_t factors[] = {0x3800, 0x3C01, 0xB555, 0x0001, 0x8400, 0x7BFF, 0x0000,
                                     0x8000, 0x7C00, 0xFE00, 0x1400, 0x3003, 0xC200, 0x5555};
    for_every_target([&] {
        Random random(4);
        for (const auto rounding :
             {Rounding::nearest_away, Rounding::nearest_even, Rounding::toward_zero}) {
            for (const bool coerce : {true, false}) {
                const Numerics::Elementwise rules{rounding, coerce};
                for (const std::uint16_t bits : factors) {
                    for (const std::int64_t count : {1, 15, 16, 100, 128, 5000}) {
                        std::vector<fp16> x(static_cast<std::size_t>(count)), y = x, out = x;
                        for (auto* operand : {&x, &y}) {
                            for (fp16& value : *operand) {
                                value = random.below(300) == 0 ? any_bits(random)
                                                               : to_fp16(random.normal() * 4.0,
                                                                         Rounding::nearest_even);
                                if (random.below(30) == 0) {
                                    value.bits &= 0x8000;
                                }
                                if (random.below(4) == 0) {
                                    value.bits &= 0xFFE0;  // products of few bits: ties
                                }
                            }
                        }
                        const fp16 factor{bits};
                        for (const bool is_scalar : {false, true}) {
                            std::vector<fp16> want = x;
                            binary(Binary::mul, x.data(), false, &factor, true, want.data(), count,
                                   rules);
                            binary(Binary::add, want.data(), false, y.data(), is_scalar,
                                   want.data(), count, rules);
                            const auto expect_equal = [&](const std::vector<fp16>& got,
                                                          const char* where) {
                                for (std::size_t i = 0; i < got.size(); ++i) {
                                    ASSERT_TRUE(got[i].bits == want[i].bits ||
                                                (!coerce && is_nan(got[i]) && is_nan(want[i])))
                                        << "element " << i << " of " << count << ", factor " << bits
                                        << ", into " << where;
                                }
                            };
                            scaled_sum(x.data(), factor, y.data(), is_scalar, out.data(), count,
                                       rules);
                            expect_equal(out, "memory of its own");
                            std::vector<fp16> in_x = x, in_y = y;
                            scaled_sum(in_x.data(), factor, y.data(), is_scalar, in_x.data(), count,
                                       rules);
                            expect_equal(in_x, "x");
                            scaled_sum(x.data(), factor, in_y.data(), is_scalar, in_y.data(), count,
                                       rules);
                            expect_equal(in_y, "y");
                        }
                    }
                }
            }
        }
    });
}

TEST(Reduction, EqualsTheScalarModelAlongEveryAxis) {
    for_every_target([] {
        Random random(3);
        for (int round = 0; round < 60; ++round) {
            const auto outer = static_cast<std::int64_t>(1 + random.below(3)),
                       count = static_cast<std::int64_t>(1 + random.below(300));
            const std::int64_t inner =
                round % 3 == 0 ? 1 : static_cast<std::int64_t>(1 + random.below(70));
            std::vector<fp16> x(static_cast<std::size_t>(outer * count * inner)),
                sum(static_cast<std::size_t>(outer * inner)), mean(sum.size());
            for (auto& value : x) {
                value = round % 5 == 0 ? any_bits(random)
                                       : to_fp16(random.normal() * 10, Rounding::nearest_even);
            }
            Numerics::Reduction rules;
            rules.narrow = round % 7 != 0;
            reduce_sum(x.data(), sum.data(), outer, count, inner, rules);
            reduce_mean(x.data(), mean.data(), outer, count, inner, rules);
            std::vector<fp16> line(static_cast<std::size_t>(count));
            for (std::int64_t o = 0; o < outer; ++o) {
                for (std::int64_t i = 0; i < inner; ++i) {
                    for (std::int64_t k = 0; k < count; ++k) {
                        line[static_cast<std::size_t>(k)] =
                            x[static_cast<std::size_t>((o * count + k) * inner + i)];
                    }
                    ASSERT_EQ(sum[static_cast<std::size_t>(o * inner + i)].bits,
                              chip::reduce_sum(line, rules).bits)
                        << "round " << round;
                    ASSERT_EQ(mean[static_cast<std::size_t>(o * inner + i)].bits,
                              chip::reduce_mean(line, rules).bits)
                        << "round " << round;
                }
            }
        }
    });
}

/// Values that decide: powers of two and their neighbours, equal magnitudes, both zeros, the ends
/// of the range; a few that are not finite.
fp16 deciding_value(Random& random, bool finite) {
    const std::uint16_t magnitudes[] = {0x0000, 0x0001, 0x03FF, 0x0400, 0x3BFF, 0x3C00, 0x3C01,
                                        0x3FFF, 0x4000, 0x6BFF, 0x6C00, 0x7BFF, 0x1234, 0x2ABC};
    const std::uint16_t specials[] = {0x7C00, 0x7E00, 0x7C01};
    const std::uint16_t magnitude = !finite && random.below(50) == 0
                                        ? specials[random.below(std::size(specials))]
                                        : magnitudes[random.below(std::size(magnitudes))];
    return fp16{static_cast<std::uint16_t>(magnitude | random.below(2) << 15)};
}

TEST(Reduction, ExtremesEqualTheScalarModel) {
    for_every_target([] {
        Random random(15);
        for (int round = 0; round < 300; ++round) {
            const auto count = static_cast<std::int64_t>(1 + random.below(round < 200 ? 40 : 300)),
                       inner = static_cast<std::int64_t>(round % 3 == 0 ? 1 + random.below(40) : 1);
            std::vector<fp16> x(static_cast<std::size_t>(count * inner)),
                largest(static_cast<std::size_t>(inner)), smallest(largest.size());
            for (auto& value : x) {
                value = round % 4 == 0 ? any_bits(random) : deciding_value(random, round % 4 < 3);
            }
            const chip::Rules rules{Rounding::nearest_away, true};
            reduce_max(x.data(), largest.data(), 1, count, inner, rules);
            reduce_min(x.data(), smallest.data(), 1, count, inner, rules);
            for (std::size_t i = 0; i < largest.size(); ++i) {
                fp16 top = chip::maximum(x[i], x[i], rules), bottom = top;
                for (std::size_t k = i; k < x.size(); k += largest.size()) {
                    top = chip::maximum(top, x[k], rules);
                    bottom = chip::minimum(bottom, x[k], rules);
                }
                ASSERT_EQ(largest[i].bits, top.bits) << "round " << round;
                ASSERT_EQ(smallest[i].bits, bottom.bits) << "round " << round;
            }
        }
    });
}

TEST(Reduction, EqualsTheScalarModelWhereAlignmentDecides) {
    for_every_target([] {
        Random random(13);
        for (int round = 0; round < 40; ++round) {
            const auto count = static_cast<std::int64_t>(1 + random.below(130));
            const std::int64_t inner = round % 2 == 0 ? 1 : 32 + 16 * (round % 5);
            const std::int64_t outer = inner == 1 ? 40 : 1;
            std::vector<fp16> x(static_cast<std::size_t>(outer * count * inner));
            for (auto& value : x) {
                value = deciding_value(random, round % 4 < 2);
            }
            Numerics::Reduction rules;
            rules.tile = round % 10 == 9 ? 3 : 4;
            rules.tile_fraction_bits = round % 10 == 8 ? 9 : 11;
            std::vector<fp16> sum(static_cast<std::size_t>(outer * inner));
            reduce_sum(x.data(), sum.data(), outer, count, inner, rules);
            std::vector<fp16> line(static_cast<std::size_t>(count));
            for (std::int64_t i = 0; i < outer * inner; ++i) {
                for (std::int64_t k = 0; k < count; ++k) {
                    line[static_cast<std::size_t>(k)] =
                        x[static_cast<std::size_t>(inner == 1 ? i * count + k : k * inner + i)];
                }
                ASSERT_EQ(sum[static_cast<std::size_t>(i)].bits, chip::reduce_sum(line, rules).bits)
                    << "round " << round << ", sum " << i << " of " << count;
            }
        }
    });
}

// Beyond 2^29 a double no longer holds every tile's last bit: there the order of the sum matters.
TEST(Reduction, KeepsTheOrderOfLongSumsOfLargeValues) {
    for_every_target([] {
        Random random(14);
        for (const double small : {0x1p-24, 0x1p-20, 0.5}) {
            std::vector<fp16> x;
            for (const double sign : {1.0, -1.0}) {
                x.insert(x.end(), 20'000, to_fp16(sign * 65504.0, Rounding::nearest_even));
                for (int i = 0; i < 4000; ++i) {
                    x.push_back(to_fp16(small * static_cast<double>(random.below(3)),
                                        Rounding::nearest_even));
                }
            }
            fp16 sum{0};
            reduce_sum(x.data(), &sum, 1, static_cast<std::int64_t>(x.size()), 1, {});
            EXPECT_EQ(sum.bits, chip::reduce_sum(x, {}).bits) << small;
        }
    });
}

// The published probes of the reduction path on an M1: 4096 and 1024 ones; [B, -B, 1] sixteen
// times.
TEST(Reduction, ReproducesThePublishedProbes) {
    const auto half = [](double value) { return to_fp16(value, Rounding::nearest_even); };
    std::vector<fp16> x{half(4096)};
    x.insert(x.end(), 1024, half(1));
    EXPECT_EQ(to_float(chip::reduce_sum(x, {})), 5116.0F);
    for (const auto& [size, survivors] : {std::pair{1024.0, 16.0F},
                                          {3000.0, 16.0F},
                                          {4090.0, 16.0F},
                                          {4096.0, 4.0F},
                                          {8000.0, 4.0F},
                                          {30000.0, 4.0F}}) {
        std::vector<fp16> triples;
        for (int i = 0; i < 16; ++i) {
            triples.insert(triples.end(), {half(size), half(-size), half(1)});
        }
        EXPECT_EQ(to_float(chip::reduce_sum(triples, {})), survivors) << size;
    }
    EXPECT_EQ(to_float(chip::reduce_sum(std::vector<fp16>(16000, half(1)), {})), 16000.0F);
}

TEST(Softmax, EqualsTheScalarModel) {
    const Numerics numerics;
    const SoftmaxTables tables{
        UnaryTable([&](fp16 x) { return chip::softmax_exp(x, numerics); }),
        UnaryTable([&](fp16 x) { return chip::softmax_reciprocal(x, numerics); })};
    for_every_target([&] {
        Random random(4);
        for (int round = 0; round < 80; ++round) {
            const auto columns = static_cast<std::int64_t>(1 + random.below(300));
            std::vector<fp16> x(static_cast<std::size_t>(3 * columns)), y(x.size()),
                expected(static_cast<std::size_t>(columns));
            for (auto& value : x) {
                value = round % 4 == 0 ? any_bits(random)
                                       : to_fp16(random.normal() * 4, Rounding::nearest_even);
            }
            softmax_rows(x.data(), y.data(), 3, columns, tables, numerics);
            for (std::int64_t row = 0; row < 3; ++row) {
                chip::softmax({x.data() + row * columns, static_cast<std::size_t>(columns)},
                              expected, numerics);
                for (std::int64_t i = 0; i < columns; ++i) {
                    ASSERT_EQ(y[static_cast<std::size_t>(row * columns + i)].bits,
                              expected[static_cast<std::size_t>(i)].bits)
                        << "round " << round << " column " << i << " of " << columns;
                }
            }
        }
    });
}

// Published largest errors of the tables (M4/M6 study).
TEST(Tables, StayWithinThePublishedErrors) {
    const Numerics numerics;
    const auto worst = [&](chip::Function function, double (*f)(double), double low, double high) {
        double error = 0.0;
        for (std::uint32_t bits = 0; bits < 65536; ++bits) {
            const fp16 x{static_cast<std::uint16_t>(bits)};
            const double value = to_float(x);
            if (is_nan(x) || !(value >= low && value <= high)) {
                continue;
            }
            error = std::max(error,
                             std::fabs(to_float(chip::evaluate(function, x, numerics)) - f(value)));
        }
        return error;
    };
    EXPECT_LE(worst(
                  chip::Function::sigmoid, [](double x) { return 1.0 / (1.0 + std::exp(-x)); },
                  -60000, 60000),
              3.5e-3);
    EXPECT_LE(worst(
                  chip::Function::tanh, [](double x) { return std::tanh(x); }, -60000, 60000),
              1.75e-3);
    // Published: 8.6e-4. Our knots are the function's values in fp16, which costs half a unit more;
    // the chip's are not known.
    EXPECT_LE(worst(
                  chip::Function::erf, [](double x) { return std::erf(x); }, -60000, 60000),
              1.3e-3);
    EXPECT_LE(worst(
                  chip::Function::exp, [](double x) { return std::exp(x); }, -20, 0),
              1e-3);
}

// E-rows of the collected probes (M1; taken over for the M4).
TEST(Elementwise, SpecialValuesAsMeasured) {
    const chip::Rules rules;
    const fp16 nan{0x7E00}, infinity{0x7C00}, zero{0}, minus_zero{0x8000}, one{0x3C00};
    const Numerics numerics;
    EXPECT_EQ(chip::add(nan, zero, rules).bits, infinity.bits);                        // E01
    EXPECT_EQ(chip::relu(nan, rules).bits, infinity.bits);                             // E02
    EXPECT_EQ(chip::evaluate(chip::Function::sigmoid, nan, numerics).bits, one.bits);  // E03
    EXPECT_EQ(chip::sub(infinity, infinity, rules).bits, 0);                           // E04
    EXPECT_EQ(chip::mul(zero, infinity, rules).bits, 0);
    EXPECT_EQ(chip::evaluate(chip::Function::sqrt, fp16{0xBC00}, numerics).bits, 0);
    EXPECT_EQ(chip::real_div(one, minus_zero, rules).bits, infinity.bits);                // E05
    EXPECT_EQ(chip::add(minus_zero, zero, rules).bits, 0);                                // E06
    EXPECT_EQ(to_float(chip::evaluate(chip::Function::log, zero, numerics)), -45440.0F);  // E07
    EXPECT_EQ(chip::add(fp16{1}, zero, rules).bits, 1);                                   // E08
    EXPECT_EQ(chip::evaluate(chip::Function::exp, pome::to_fp16(11.09375, Rounding::nearest_even),
                             numerics)
                  .bits,
              infinity.bits);  // E09
    EXPECT_LT(chip::evaluate(chip::Function::exp, pome::to_fp16(11.0859375, Rounding::nearest_even),
                             numerics)
                  .bits,
              infinity.bits);
    for (const auto& [in, out] :
         {std::pair{1024.0, 1025.0F}, {1025.0, 1026.0F}, {-2047.0, -2048.0F}}) {  // E14
        EXPECT_EQ(to_float(chip::round(pome::to_fp16(in, Rounding::nearest_even), rules)), out);
    }
}

TEST(Layout, TransposesEverySizeOnEveryTarget) {
    for_every_target([] {
        Random random(6);
        for (int round = 0; round < 60; ++round) {
            const std::size_t rows = 1 + random.below(75), columns = 1 + random.below(75),
                              x_stride = columns + random.below(4),
                              y_stride = rows + random.below(4);
            std::vector<fp16> x(rows * x_stride), y(columns * y_stride);
            for (auto& value : x) {
                value = any_bits(random);
            }
            for (auto& value : y) {
                value = any_bits(random);
            }
            std::vector<fp16> expected = y;  // what lies between rows stays
            for (std::size_t r = 0; r < rows; ++r) {
                for (std::size_t c = 0; c < columns; ++c) {
                    expected[c * y_stride + r] = x[r * x_stride + c];
                }
            }
            transpose(x.data(), static_cast<std::int64_t>(x_stride), y.data(),
                      static_cast<std::int64_t>(y_stride), static_cast<std::int64_t>(rows),
                      static_cast<std::int64_t>(columns));
            ASSERT_EQ(y, expected) << rows << " x " << columns;
        }
    });
}

TEST(Layout, PermutesAsIndicesSay) {
    Random random(5);
    const std::vector<std::int64_t> sizes{2, 3, 40, 35};
    std::vector<fp16> x(2 * 3 * 40 * 35), y(x.size());
    for (auto& value : x) {
        value = any_bits(random);
    }
    for (const std::vector<int>& perm :
         {std::vector<int>{0, 1, 3, 2}, {3, 2, 1, 0}, {1, 0, 2, 3}, {2, 0, 3, 1}}) {
        const std::int64_t first = sizes[static_cast<std::size_t>(perm[0])];
        permute(x.data(), y.data(), sizes, perm, 0, first / 2);
        permute(x.data(), y.data(), sizes, perm, first / 2, first);
        const std::vector<fp16> in_parts = y;
        permute(x.data(), y.data(), sizes, perm);
        EXPECT_EQ(y, in_parts);
        std::vector<std::int64_t> index(4);
        std::size_t at = 0;
        for (index[0] = 0; index[0] < sizes[static_cast<std::size_t>(perm[0])]; ++index[0]) {
            for (index[1] = 0; index[1] < sizes[static_cast<std::size_t>(perm[1])]; ++index[1]) {
                for (index[2] = 0; index[2] < sizes[static_cast<std::size_t>(perm[2])];
                     ++index[2]) {
                    for (index[3] = 0; index[3] < sizes[static_cast<std::size_t>(perm[3])];
                         ++index[3]) {
                        std::int64_t source[4];
                        for (std::size_t i = 0; i < 4; ++i) {
                            source[perm[i]] = index[i];
                        }
                        ASSERT_EQ(
                            y[at++].bits,
                            x[static_cast<std::size_t>(
                                  ((source[0] * 3 + source[1]) * 40 + source[2]) * 35 + source[3])]
                                .bits);
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace pome::kernels
