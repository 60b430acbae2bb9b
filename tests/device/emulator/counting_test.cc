#include "device/emulator/counting.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "device/emulator/emulator.h"
#include "mil/builder.h"
#include "mil/text.h"
#include "reference/chip/multiply_accumulate.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

std::vector<fp16> halves(Random& random, std::int64_t count) {
    std::vector<fp16> values;
    for (std::int64_t i = 0; i < count; ++i) {
        values.push_back(
            to_fp16(random.normal() * std::exp2(-static_cast<double>(random.below(20))),
                    Rounding::nearest_even));
        if (random.below(8) == 0) {
            values.back() = fp16{0};
        }
    }
    return values;
}

TEST(Counting, VanishedProductsAreThoseOfTheScalarModel) {
    const Numerics::MultiplyAccumulate rules;
    Random random(7);
    for (const auto& [m, k, n] : {std::tuple{1, 1, 1}, {3, 40, 5}, {17, 64, 33}}) {
        const auto a = halves(random, m * k), b = halves(random, k * n);
        kernels::MatmulJob job{};
        job.a = {a.data(), m, k, k, 1};
        job.b = {b.data(), k, n, n, 1};
        std::int64_t expected = 0;
        for (int row = 0; row < m; ++row) {
            for (int column = 0; column < n; ++column) {
                for (int i = 0; i < k; ++i) {
                    const fp16 x = a[static_cast<std::size_t>(row * k + i)],
                               w = b[static_cast<std::size_t>(i * n + column)];
                    const fp16 product =
                        chip::multiply_accumulate(std::span(&x, 1), std::span(&w, 1), 0.0F, rules);
                    expected += is_zero(product) && !is_zero(x) && !is_zero(w) ? 1 : 0;
                }
            }
        }
        EXPECT_EQ(vanished_products({job}, rules), expected) << m << " " << k << " " << n;
        EXPECT_GT(expected + (m == 1 ? 1 : 0), 0);
        Numerics::MultiplyAccumulate wide = rules;
        wide.fixed_point = false;
        EXPECT_EQ(vanished_products({job}, wide), 0);
    }
}

TEST(Counting, IndeterminateForms) {
    const fp16 inf{0x7C00}, minus{0xFC00}, zero{0}, one{0x3C00}, nan{0x7E00};
    const std::vector<fp16> x{inf, inf, minus, zero, zero, one, nan, inf},
        y{inf, minus, minus, inf, zero, zero, inf, zero};
    const Shape shape{8};
    const auto count = [&](const char* op) {
        return count_indeterminate(op, x.data(), shape, y.data(), shape, shape);
    };
    EXPECT_EQ(count("add"), 1);       // inf + -inf
    EXPECT_EQ(count("sub"), 2);       // inf - inf, -inf - -inf
    EXPECT_EQ(count("mul"), 2);       // 0 * inf, inf * 0
    EXPECT_EQ(count("real_div"), 4);  // three of infinities, 0 / 0
    EXPECT_EQ(count("maximum"), 0);
    // One operand repeated along both axes.
    EXPECT_EQ(count_indeterminate("sub", x.data(), Shape{2, 4}, &inf, Shape{1, 1}, Shape{2, 4}), 3);
}

/// A program of three ops: a product that saturates and loses others, a sum of NaN, a copy.
std::vector<OperationCounts> counts(Counting counting, const std::string& chip = "m4") {
    const std::string text =
        "program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [1, 1, 32, 32]> a, tensor<fp16, [1, 1, 32, "
        "32]> b) {\ntensor<fp16, [1, 1, 32, 32]> p = matmul(x = a, y = b, transpose_x = "
        "bool(false), transpose_y = bool(false));\ntensor<fp16, [1, 1, 32, 32]> s = sub(x = p, y = "
        "b);\ntensor<fp16, [1, 32, 1, 32]> y = reshape(x = s, shape = tensor<int32, [4]>([1, 32, "
        "1, "
        "32]));\n} -> (y);\n}\n";
    ThreadPool pool(1);
    const auto device = make_emulator(chip, {.counting = counting}, pool);
    const auto executable = device->compile({mil::read(text), {}});
    Surface a(executable->inputs()[0].type), b(executable->inputs()[1].type),
        y(executable->outputs()[0].type);
    // Row 0 of a is 200, row 1 is 2^-12; column 0 of b is 200, column 1 is 2^-6, the rest zero.
    for (int i = 0; i < 32; ++i) {
        a.halves()[i] = to_fp16(200.0, Rounding::nearest_even);
        a.halves()[32 + i] = to_fp16(0x1p-12, Rounding::nearest_even);
        b.halves()[32 * i] = to_fp16(200.0, Rounding::nearest_even);
        b.halves()[32 * i + 1] = to_fp16(0x1p-6, Rounding::nearest_even);
    }
    b.halves()[32 * 5 + 7] = fp16{0x7E00};  // one NaN: an ordinary number for the product
    executable->evaluate({{{"a", &a}, {"b", &b}}, {{"y", &y}}});
    return executable->operation_counts();
}

TEST(Counting, OperationsReportWhatHappenedInThem) {
    // Sums of products: 32 * 40000 is beyond 2^15; 200 times the NaN's 98304 too.
    const auto products = counts(Counting::products);
    ASSERT_EQ(products.size(), 1U);
    EXPECT_EQ(products[0], (OperationCounts{"matmul", "p", 4, 2, 0, 0}));

    const auto results = counts(Counting::results);
    ASSERT_EQ(results.size(), 2U);
    EXPECT_EQ(results[0], (OperationCounts{"matmul", "p", 4, 2, 1, 0})) << "one NaN operand";
    EXPECT_EQ(results[1].op, "sub");
    EXPECT_EQ(results[1].coerced, 1);
    EXPECT_GE(results[1].saturated, 2);

    const auto vanishing = counts(Counting::vanishing);
    ASSERT_EQ(vanishing.size(), 2U);
    // 2^-12 * 2^-6 has the exponent -18: dropped, 32 times; nothing else is.
    EXPECT_EQ(vanishing[0], (OperationCounts{"matmul", "p", 4, 2, 1, 32}));
    EXPECT_EQ(vanishing[1].vanished, 0);
}

}  // namespace
}  // namespace pome::device::emulator
