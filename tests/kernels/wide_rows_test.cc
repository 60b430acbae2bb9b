// Rows that stay floats between a norm's steps give what the steps give one by one.
#include "kernels/wide_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/elementwise.h"
#include "kernels/reduction.h"
#include "kernels/targets.h"

namespace pome::kernels {
namespace {

enum class Kind : std::uint8_t { usual, tiny, large, any, last };

std::vector<fp16> rows_of(Random& random, std::int64_t count, Kind kind) {
    std::vector<fp16> x(static_cast<std::size_t>(count));
    const double scale = kind == Kind::tiny ? 1e-6 : kind == Kind::large ? 200.0 : 1.0;
    for (fp16& value : x) {
        value = to_fp16(random.normal() * scale + 0.3 * scale, Rounding::nearest_even);
        if (kind == Kind::any && random.below(100) == 0) {
            value.bits = static_cast<std::uint16_t>(random.next());
        }
        if (random.below(20) == 0) {
            value.bits = random.below(2) == 0 ? 0x8000 : 0;
        }
    }
    return x;
}

/// Some vectors' way, some the others', among them numbers that no vector takes.
std::vector<fp16> factors_of(Random& random, std::int64_t rows, Kind kind) {
    std::vector<fp16> factors = rows_of(random, rows, Kind::usual);
    if (kind == Kind::any) {
        const std::uint16_t special[] = {0x7C00, 0xFC00, 0x7E00, 0x8000, 0x0001, 0x7BFF};
        factors.front().bits = special[random.below(std::size(special))];
    }
    return factors;
}

void binary_of_rows(Binary op, const std::vector<fp16>& x, const std::vector<fp16>& y,
                    std::vector<fp16>& out, std::int64_t count, const Numerics& numerics) {
    for (std::size_t row = 0; row < y.size(); ++row) {
        const std::int64_t at = static_cast<std::int64_t>(row) * count;
        binary(op, x.data() + at, false, &y[row], true, out.data() + at, count,
               numerics.elementwise);
    }
}

/// `numerics` with one of the vectors' rules after another changed.
std::vector<Numerics> all_rules() {
    std::vector<Numerics> rules(6);
    rules[1].elementwise.output = Rounding::nearest_even;
    rules[2].elementwise.output = Rounding::toward_zero;
    rules[3].elementwise = {Rounding::nearest_even, false};
    rules[4].reduction.tile_fraction_bits = 10;
    rules[5].reduction.narrow = false;
    return rules;
}

TEST(WideRows, EqualTheStepsOneByOne) {
    const std::int64_t counts[] = {1,   2,   4,   5,   32,  36,  60,   64,   68,   128,
                                   132, 192, 252, 256, 260, 512, 1000, 2052, 8192, 8196};
    const auto rules = all_rules();
    for_every_target([&] {
        Random random(11);
        for (std::size_t i = 0; i < rules.size(); ++i) {
            const Numerics& numerics = rules[i];
            for (const std::int64_t count : counts) {
                for (int kind = 0; kind < static_cast<int>(Kind::last); ++kind) {
                    SCOPED_TRACE("rules " + std::to_string(i) + ", rows of " +
                                 std::to_string(count) + ", kind " + std::to_string(kind));
                    constexpr std::int64_t rows = 3;
                    const auto values = static_cast<Kind>(kind);
                    const bool is_mean = random.below(2) == 0;
                    const auto x = rows_of(random, rows * count, values);
                    const auto factors = factors_of(random, rows, values);
                    auto subtrahends = rows_of(random, rows, values);
                    if (random.below(4) == 0) {
                        subtrahends.front().bits = 0;
                    }
                    std::vector<fp16> y(x.size()), want(x.size()), sums(rows), want_sums(rows);

                    WideRows norm(rows + 1, count);
                    norm.sum_squares(x.data(), rows, is_mean, sums.data(), numerics);
                    reduce_squares(x.data(), want_sums.data(), rows, count, is_mean, numerics);
                    ASSERT_EQ(sums, want_sums);
                    norm.multiply(factors.data(), y.data(), numerics);
                    binary_of_rows(Binary::mul, x, factors, want, count, numerics);
                    ASSERT_EQ(y, want);

                    norm.sum(x.data(), rows, is_mean, sums.data(), numerics);
                    (is_mean ? reduce_mean : reduce_sum)(x.data(), want_sums.data(), rows, count, 1,
                                                         numerics.reduction);
                    ASSERT_EQ(sums, want_sums);
                    norm.subtract_and_sum_squares(subtrahends.data(), is_mean, sums.data(),
                                                  numerics);
                    std::vector<fp16> left(x.size());
                    binary_of_rows(Binary::sub, x, subtrahends, left, count, numerics);
                    reduce_squares(left.data(), want_sums.data(), rows, count, is_mean, numerics);
                    ASSERT_EQ(sums, want_sums);
                    for (int product = 0; product < 2; ++product) {
                        norm.multiply(factors.data(), y.data(), numerics);
                        binary_of_rows(Binary::mul, left, factors, want, count, numerics);
                        ASSERT_EQ(y, want);
                    }

                    // Fewer rows than before, and the result takes their place.
                    const std::vector<fp16> before(x.begin(), x.end() - count),
                        few(factors.begin(), factors.end() - 1);
                    std::vector<fp16> some = before, mean(few.size());
                    norm.sum(some.data(), rows - 1, true, mean.data(), numerics);
                    norm.multiply(few.data(), some.data(), numerics);
                    want.resize(before.size());
                    binary_of_rows(Binary::mul, before, few, want, count, numerics);
                    ASSERT_EQ(some, want);
                }
            }
        }
    });
}

/// Every difference of two values whose exponents are near, and ties: a row at a time.
TEST(WideRows, SubtractEveryPairOfExponents) {
    const Numerics numerics;
    for_every_target([&] {
        Random random(12);
        constexpr std::int64_t count = 256;
        std::vector<fp16> x(count), left(count), y(count), want(count);
        fp16 sum, one = to_fp16(1.0, Rounding::nearest_even);
        WideRows norm(1, count);
        for (std::uint16_t exponent = 0; exponent < 31; ++exponent) {
            for (std::uint16_t other = 0; other < 31; ++other) {
                for (fp16& value : x) {
                    value.bits =
                        static_cast<std::uint16_t>(exponent << 10 | (random.next() & 0x83FF));
                }
                const fp16 m{static_cast<std::uint16_t>(other << 10 | (random.next() & 0x83FF))};
                norm.sum(x.data(), 1, false, &sum, numerics);
                norm.subtract_and_sum_squares(&m, false, &sum, numerics);
                norm.multiply(&one, y.data(), numerics);
                binary(Binary::sub, x.data(), false, &m, true, left.data(), count,
                       numerics.elementwise);
                binary(Binary::mul, left.data(), false, &one, true, want.data(), count,
                       numerics.elementwise);
                ASSERT_EQ(y, want) << exponent << " - " << other;
            }
        }
    });
}

}  // namespace
}  // namespace pome::kernels
