#include "kernels/softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/large_memory.h"
#include "base/random.h"
#include "kernels/targets.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/softmax.h"

namespace pome::kernels {
namespace {

namespace chip = reference::chip;

SoftmaxTables tables_for(const Numerics& numerics) {
    return {UnaryTable([&](fp16 x) { return chip::softmax_exp(x, numerics); }),
            UnaryTable([&](fp16 x) { return chip::softmax_reciprocal(x, numerics); })};
}

std::vector<fp16> rows_of(Random& random, std::size_t count, int kind) {
    std::vector<fp16> x(count);
    for (fp16& value : x) {
        value = kind == 0   ? fp16{static_cast<std::uint16_t>(random.next())}
                : kind == 1 ? to_fp16(random.normal() * 1e-3, Rounding::nearest_even)
                            : to_fp16(random.normal() * 4.0, Rounding::nearest_even);
    }
    return x;
}

/// Any length: whole and broken eights, fours of eights, groups beyond the 64 that were captured.
std::int64_t some_length(Random& random, int round) {
    const std::int64_t special[] = {1, 7, 8, 9, 31, 32, 33, 64, 127, 128, 129, 512, 513, 2100};
    if (static_cast<std::size_t>(round) < std::size(special)) {
        return special[round];
    }
    return 1 + static_cast<std::int64_t>(random.below(300));
}

TEST(Softmax, EqualsTheScalarModelForEveryRounding) {
    for (const auto rounding :
         {Rounding::nearest_away, Rounding::nearest_even, Rounding::toward_zero}) {
        Numerics numerics;
        numerics.elementwise.output = rounding;
        const SoftmaxTables tables = tables_for(numerics);
        for_every_target([&] {
            Random random(4);
            for (int round = 0; round < 60; ++round) {
                const std::int64_t columns = some_length(random, round);
                const auto size = static_cast<std::size_t>(columns);
                const std::vector<fp16> x = rows_of(random, 3 * size, round % 4);
                std::vector<fp16> y(x.size()), expected(x.size());
                softmax_rows(x.data(), y.data(), 3, columns, tables, numerics);
                for (std::size_t row = 0; row < 3; ++row) {
                    chip::softmax({x.data() + row * size, size},
                                  {expected.data() + row * size, size}, numerics);
                }
                ASSERT_EQ(y, expected) << "round " << round << ", " << columns
                                       << " columns, rounding " << static_cast<int>(rounding);
            }
        });
    }
}

TEST(Softmax, EqualsTheScalarModelWithIeeeSpecialValues) {
    Numerics numerics;
    numerics.elementwise = {Rounding::nearest_even, false};
    const SoftmaxTables tables = tables_for(numerics);
    for_every_target([&] {
        Random random(5);
        for (int round = 0; round < 40; ++round) {
            const std::int64_t columns = some_length(random, round);
            const auto size = static_cast<std::size_t>(columns);
            std::vector<fp16> x = rows_of(random, size, 2), y(size), expected(size);
            if (round % 3 == 0) {
                x[random.below(size)] = fp16{0xFC00};
            }
            softmax_rows(x.data(), y.data(), 1, columns, tables, numerics);
            chip::softmax(x, expected, numerics);
            ASSERT_EQ(y, expected) << "round " << round << ", " << columns << " columns";
        }
    });
}

/// So many rows that 200 columns are several blocks, some of which hold a NaN or an infinity: what
/// happens to one block while its neighbours are read and written must not touch it.
TEST(Softmax, OfSeveralBlocksOfColumns) {
    constexpr std::int64_t count = 2100, columns = 200;
    const Numerics numerics;
    const SoftmaxTables tables = tables_for(numerics);
    Random random(9);
    for (const std::vector<std::size_t>& specials :
         {std::vector<std::size_t>{}, {70}, {0, 199}, {63, 64, 128}}) {
        for (const bool in_place : {false, true}) {
            auto x = rows_of(random, static_cast<std::size_t>(count * columns), 2);
            for (const std::size_t column : specials) {
                const std::size_t row = random.below(count);
                x[row * columns + column] =
                    fp16{random.below(2) == 0 ? std::uint16_t{0x7C00} : std::uint16_t{0x7E00}};
            }
            std::vector<fp16> y = x, line(count), soft(count);
            softmax_columns(in_place ? y.data() : x.data(), y.data(), count, columns, columns,
                            tables, numerics);
            for (std::size_t c = 0; c < columns; ++c) {
                for (std::size_t k = 0; k < line.size(); ++k) {
                    line[k] = x[k * columns + c];
                }
                chip::softmax(line, soft, numerics);
                for (std::size_t k = 0; k < line.size(); ++k) {
                    ASSERT_EQ(y[k * columns + c].bits, soft[k].bits)
                        << "column " << c << ", row " << k << (in_place ? ", in place" : "");
                }
            }
        }
    }
}

/// Large tensors may be written past the caches, whole vectors of them that lie well.
TEST(Softmax, OfColumnsOfALargeTensor) {
    constexpr std::size_t count = 2100, columns = 106, stride = 2048;
    const Numerics numerics;
    const SoftmaxTables tables = tables_for(numerics);
    Random random(11);
    const auto values = rows_of(random, count * stride, 2);
    for (const std::size_t first : {0U, 64U, 5U}) {
        LargeVector<fp16> x(values.begin(), values.end()), y(x.size(), fp16{1});
        x[first + 70] = fp16{0x7E00};
        softmax_columns(x.data() + first, y.data() + first, count, columns, stride, tables,
                        numerics);
        LargeVector<fp16> expected(x.size(), fp16{1});
        std::vector<fp16> line(count), soft(count);
        for (std::size_t c = first; c < first + columns; ++c) {
            for (std::size_t k = 0; k < count; ++k) {
                line[k] = x[k * stride + c];
            }
            chip::softmax(line, soft, numerics);
            for (std::size_t k = 0; k < count; ++k) {
                expected[k * stride + c] = soft[k];
            }
        }
        ASSERT_TRUE(y == expected) << "from column " << first;
    }
}

TEST(Softmax, OfColumnsEqualsTheScalarModel) {
    for (const auto rounding : {Rounding::nearest_away, Rounding::nearest_even}) {
        Numerics numerics;
        numerics.elementwise.output = rounding;
        const SoftmaxTables tables = tables_for(numerics);
        for_every_target([&] {
            Random random(8);
            for (int round = 0; round < 20; ++round) {
                const std::int64_t count = some_length(random, round);
                const std::int64_t columns =
                    1 + static_cast<std::int64_t>(random.below(round < 14 ? 40 : 150));
                const std::int64_t stride = columns + static_cast<std::int64_t>(random.below(3));
                const std::vector<fp16> x =
                    rows_of(random, static_cast<std::size_t>(count * stride), round % 4);
                std::vector<fp16> y = x, expected = x;  // what lies between rows stays
                softmax_columns(round % 2 == 0 ? x.data() : y.data(), y.data(), count, columns,
                                stride, tables, numerics);
                std::vector<fp16> line(static_cast<std::size_t>(count)), soft(line.size());
                for (std::int64_t c = 0; c < columns; ++c) {
                    for (std::size_t k = 0; k < line.size(); ++k) {
                        line[k] =
                            x[k * static_cast<std::size_t>(stride) + static_cast<std::size_t>(c)];
                    }
                    chip::softmax(line, soft, numerics);
                    for (std::size_t k = 0; k < line.size(); ++k) {
                        expected[k * static_cast<std::size_t>(stride) +
                                 static_cast<std::size_t>(c)] = soft[k];
                    }
                }
                ASSERT_EQ(y, expected) << "round " << round << ", " << count << " x " << columns
                                       << ", rounding " << static_cast<int>(rounding);
            }
        });
    }
}

/// Rows of one sign, and rows whose smallest element is about as far below the largest as an
/// exponential can be: by rows and by columns.
TEST(Softmax, FarBelowTheLargestAndWithoutPositiveElements) {
    const Numerics numerics;
    const SoftmaxTables tables = tables_for(numerics);
    for_every_target([&] {
        Random random(10);
        for (const double offset : {-900.0, -20.0, -2.0, 0.0, 30.0}) {
            for (const double depth : {1.0, 17.9, 18.0, 18.1, 19.0, 27.0, 400.0}) {
                for (const std::size_t count : {3U, 32U, 100U, 515U}) {
                    std::vector<fp16> x(count), y(count), expected(count);
                    for (fp16& value : x) {
                        value = to_fp16(offset - random.uniform(), Rounding::nearest_even);
                    }
                    x[random.below(count)] = to_fp16(offset - depth, Rounding::nearest_even);
                    chip::softmax(x, expected, numerics);
                    const auto size = static_cast<std::int64_t>(count);
                    softmax_rows(x.data(), y.data(), 1, size, tables, numerics);
                    ASSERT_EQ(y, expected) << offset << ", " << depth << ", " << count;
                    softmax_columns(x.data(), y.data(), size, 1, 1, tables, numerics);
                    ASSERT_EQ(y, expected) << offset << ", " << depth << ", a column of " << count;
                }
            }
        }
    });
}

/// Rows in which single elements are what needs care: the largest or not the largest.
TEST(Softmax, TakesSpecialValuesAmongOrdinaryOnes) {
    const Numerics numerics;
    const SoftmaxTables tables = tables_for(numerics);
    for_every_target([&] {
        Random random(9);
        for (const int value : {0x7C00, 0xFC00, 0x7E00, 0xFE00, 0x7C01, 0xFFFF, 0x8000, 0x0001,
                                0x8001, 0x7BFF, 0xFBFF}) {
            const fp16 special{static_cast<std::uint16_t>(value)};
            for (const std::int64_t columns : {1, 2, 31, 33, 64, 100, 513}) {
                const auto size = static_cast<std::size_t>(columns);
                for (int round = 0; round < 4; ++round) {
                    std::vector<fp16> x = rows_of(random, 3 * size, 2), y(x.size()),
                                      expected(x.size());
                    if (round == 3) {
                        std::fill_n(x.begin() + columns, columns, special);
                    }
                    for (int i = 0; i < round + 1; ++i) {
                        x[random.below(x.size())] = special;
                    }
                    softmax_rows(x.data(), y.data(), 3, columns, tables, numerics);
                    for (std::size_t row = 0; row < 3; ++row) {
                        chip::softmax({x.data() + row * size, size},
                                      {expected.data() + row * size, size}, numerics);
                    }
                    ASSERT_EQ(y, expected) << value << " among " << columns;
                }
            }
        }
    });
}

TEST(Softmax, MayBeDoneInPlace) {
    const Numerics numerics;
    const SoftmaxTables tables = tables_for(numerics);
    Random random(6);
    std::vector<fp16> x = rows_of(random, 2 * 100, 2), y(x.size());
    softmax_rows(x.data(), y.data(), 2, 100, tables, numerics);
    softmax_rows(x.data(), x.data(), 2, 100, tables, numerics);
    EXPECT_EQ(x, y);
}

TEST(Softmax, OfHalfPrecisionStorageIsWithinOneUnitOfTheExactValue) {
    Numerics numerics;
    numerics.softmax.narrow = false;
    numerics.elementwise.output = Rounding::nearest_even;
    const SoftmaxTables tables = tables_for(numerics);
    for_every_target([&] {
        Random random(7);
        for (int round = 0; round < 60; ++round) {
            const std::int64_t columns = some_length(random, round);
            const auto size = static_cast<std::size_t>(columns);
            std::vector<fp16> x = rows_of(random, size, round % 4), y(size), exact(size);
            softmax_rows(x.data(), y.data(), 1, columns, tables, numerics);
            chip::softmax(x, exact, numerics);
            for (std::size_t i = 0; i < size; ++i) {
                // Neighbouring fp16 values of one sign have neighbouring bits.
                ASSERT_LE(std::abs(int{y[i].bits} - int{exact[i].bits}), 1)
                    << "round " << round << ", column " << i << " of " << columns;
            }
        }
    });
}

// E17, measured on an M1.
TEST(Softmax, GivesTheWholeMassToTheLargestAndToNan) {
    const Numerics numerics;
    const SoftmaxTables tables = tables_for(numerics);
    const auto half = [](double value) { return to_fp16(value, Rounding::nearest_even); };
    const auto of = [&](std::vector<fp16> x) {
        softmax_rows(x.data(), x.data(), 1, static_cast<std::int64_t>(x.size()), tables, numerics);
        std::vector<float> result;
        for (const fp16 value : x) {
            result.push_back(to_float(value));
        }
        return result;
    };
    EXPECT_EQ(of({half(1000), half(1), half(2), half(3)}), (std::vector<float>{1, 0, 0, 0}));
    EXPECT_EQ(of(std::vector<fp16>(4, half(-7))), std::vector<float>(4, 0.25F));
    EXPECT_EQ(of({half(5), fp16{0x7E00}, half(2)}), (std::vector<float>{0, 1, 0}));
}

}  // namespace
}  // namespace pome::kernels
