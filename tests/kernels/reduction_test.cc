#include "kernels/reduction.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/reduction.h"

namespace pome::kernels {
namespace {

/// Sums along the last axis and along one before 37 others, by every number of fraction bits that a
/// profile may have and tiles of several lengths.
TEST(Reduction, EqualsTheModelByAnyRules) {
    Random random(7);
    for (int bits = 1; bits <= 40; ++bits) {
        for (const int tile : {1, 2, 4, 7}) {
            Numerics::Reduction rules;
            rules.tile = tile;
            rules.tile_fraction_bits = bits;
            const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(150));
            constexpr std::int64_t inner = 37;
            std::vector<fp16> x(static_cast<std::size_t>(count * inner));
            for (fp16& value : x) {
                const double scale = std::exp2(static_cast<double>(random.below(12)) - 8.0);
                value = to_fp16(random.normal() * scale, Rounding::nearest_even);
            }
            std::vector<fp16> along_columns(inner), row(1), column(static_cast<std::size_t>(count));
            reduce_sum(x.data(), along_columns.data(), 1, count, inner, rules);
            for (std::int64_t i = 0; i < inner; ++i) {
                for (std::int64_t k = 0; k < count; ++k) {
                    column[static_cast<std::size_t>(k)] =
                        x[static_cast<std::size_t>(k * inner + i)];
                }
                const fp16 want = reference::chip::reduce_sum(column, rules);
                ASSERT_EQ(along_columns[static_cast<std::size_t>(i)].bits, want.bits)
                    << bits << " fraction bits, tiles of " << tile << ", " << count;
                reduce_sum(column.data(), row.data(), 1, count, 1, rules);
                ASSERT_EQ(row[0].bits, want.bits)
                    << bits << " fraction bits, tiles of " << tile << ", a row of " << count;
            }
        }
    }
}

/// Values whose squares are ordinary, subnormal, vanish or overflow, and now and then NaN, an
/// infinity or -0.
fp16 any_root(Random& random) {
    switch (random.below(40)) {
        case 0:
            return fp16{static_cast<std::uint16_t>(random.below(65536))};
        case 1:
            return fp16{0x8000};
        default:
            return to_fp16(
                random.normal() * std::exp2(static_cast<double>(random.below(14)) - 11.0),
                Rounding::nearest_even);
    }
}

TEST(Reduction, SumsOfSquaresEqualTheSumsOfRoundedProducts) {
    Random random(11);
    for (int round = 0; round < 300; ++round) {
        Numerics numerics;
        if (round % 3 == 1) {
            numerics.elementwise.output = Rounding::nearest_even;
        } else if (round % 3 == 2) {
            numerics.reduction.tile_fraction_bits = 9 + round % 5;
        }
        const bool has_specials = round % 2 == 0;
        const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(200));
        constexpr std::int64_t inner = 71;
        std::vector<fp16> x(static_cast<std::size_t>(count * inner)), squares(x.size());
        for (fp16& value : x) {
            value =
                has_specials ? any_root(random) : to_fp16(random.normal(), Rounding::nearest_even);
        }
        for (std::size_t i = 0; i < x.size(); ++i) {
            squares[i] = reference::chip::mul(x[i], x[i], numerics.elementwise);
        }
        const auto expect_equal = [&](const std::vector<fp16>& got, const std::vector<fp16>& want) {
            for (std::size_t i = 0; i < want.size(); ++i) {
                ASSERT_EQ(got[i].bits, want[i].bits) << "round " << round << ", element " << i;
            }
        };
        std::vector<fp16> got(inner), want(inner);
        std::vector<double> sums(inner);
        add_squares_to_sums(x.data(), inner, count, inner, numerics, sums.data());
        finish_sums(sums.data(), inner, 0, got.data(), numerics.reduction);
        reduce_sum(squares.data(), want.data(), 1, count, inner, numerics.reduction);
        expect_equal(got, want);

        got.resize(static_cast<std::size_t>(count)), want.resize(static_cast<std::size_t>(count));
        for (const bool is_mean : {false, true}) {
            reduce_squares(x.data(), got.data(), count, inner, is_mean, numerics);
            (is_mean ? reduce_mean : reduce_sum)(squares.data(), want.data(), count, inner, 1,
                                                 numerics.reduction);
            expect_equal(got, want);
        }
    }
}

/// A NaN, an infinity or a value whose square is none at every place of a row, and of a column
/// among 40.
TEST(Reduction, OneSpecialValueAnywhere) {
    Random random(13);
    const Numerics numerics;
    constexpr std::int64_t count = 140, inner = 40;
    std::vector<fp16> row(count), squares(count), result(1), sums_of(inner);
    for (fp16& value : row) {
        value = to_fp16(random.normal(), Rounding::nearest_even);
    }
    const auto ordinary = row;
    for (const int special : {0x7C00, 0xFC00, 0x7E00, 0xFFFF, 0x7C01, 0x5C00, 0xF800}) {
        for (std::size_t at = 0; at < row.size(); ++at) {
            row = ordinary;
            row[at] = fp16{static_cast<std::uint16_t>(special)};
            std::vector<fp16> columns;  // [count, inner], the row in the 20th
            for (std::int64_t i = 0; i < count * inner; ++i) {
                columns.push_back(
                    (i % inner == 20 ? row : ordinary)[static_cast<std::size_t>(i / inner)]);
            }
            for (std::size_t i = 0; i < row.size(); ++i) {
                squares[i] = reference::chip::mul(row[i], row[i], numerics.elementwise);
            }
            const fp16 want = reference::chip::reduce_sum(row, numerics.reduction),
                       want_of_squares = reference::chip::reduce_sum(squares, numerics.reduction);
            reduce_sum(row.data(), result.data(), 1, count, 1, numerics.reduction);
            ASSERT_EQ(result[0].bits, want.bits) << special << " at " << at;
            reduce_squares(row.data(), result.data(), 1, count, false, numerics);
            ASSERT_EQ(result[0].bits, want_of_squares.bits) << special << " at " << at;
            reduce_sum(columns.data(), sums_of.data(), 1, count, inner, numerics.reduction);
            ASSERT_EQ(sums_of[20].bits, want.bits) << special << " at " << at;
            std::vector<double> sums(inner);
            add_squares_to_sums(columns.data(), inner, count, inner, numerics, sums.data());
            finish_sums(sums.data(), inner, 0, sums_of.data(), numerics.reduction);
            ASSERT_EQ(sums_of[20].bits, want_of_squares.bits) << special << " at " << at;
        }
    }
}

/// Rows so long that the order of their tiles might matter.
TEST(Reduction, LongRows) {
    Random random(17);
    const Numerics numerics;
    for (const double scale : {1.0, 200.0, 20000.0}) {
        std::vector<fp16> row(10000), squares(row.size()), result(1);
        for (fp16& value : row) {
            value = to_fp16(random.normal() * scale, Rounding::nearest_even);
        }
        for (std::size_t i = 0; i < row.size(); ++i) {
            squares[i] = reference::chip::mul(row[i], row[i], numerics.elementwise);
        }
        reduce_sum(row.data(), result.data(), 1, 10000, 1, numerics.reduction);
        EXPECT_EQ(result[0].bits, reference::chip::reduce_sum(row, numerics.reduction).bits);
        reduce_squares(row.data(), result.data(), 1, 10000, false, numerics);
        EXPECT_EQ(result[0].bits, reference::chip::reduce_sum(squares, numerics.reduction).bits);
    }
}

}  // namespace
}  // namespace pome::kernels
