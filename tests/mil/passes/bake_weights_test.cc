#include "mil/passes/bake_weights.h"

#include <gtest/gtest.h>

#include "base/fp16.h"
#include "base/random.h"
#include "mil/builder.h"
#include "mil/interpreter.h"
#include "mil/verifier.h"
#include "support/test_data.h"

namespace pome::mil::passes {
namespace {

/// y = w^T relu(w x), with w [6, 4] used both ways.
Function tied() {
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 4, 1, 8}));
    const auto w = b.input("w", Type::tensor(DType::fp16, {1, 6, 1, 4}));
    const auto matrix = b.reshape(w, {1, 1, 6, 4});
    const auto h = b.rename(b.matmul(matrix, b.reshape(x, {1, 1, 4, 8})), "h");
    b.output(b.rename(b.matmul(matrix, b.unary("relu", h), /*transpose_x=*/true), "y"));
    return b.take();
}

reference::Tensor random_tensor(const Shape& shape, Random& random) {
    reference::Tensor tensor(shape);
    for (double& value : tensor.data) {
        value = static_cast<double>(to_float(to_fp16(random.normal(), Rounding::nearest_even)));
    }
    return tensor;
}

TEST(BakeWeights, GivesTheSameValues) {
    const Function plain = tied();
    const Baked baked = bake_weights(plain, {"w"});
    verify(make_program(baked.function));
    ASSERT_EQ(baked.function.parameters.size(), 1U);
    EXPECT_EQ(baked.function.outputs, plain.outputs);
    EXPECT_NE(baked.function.find_type("h"), nullptr);
    ASSERT_EQ(baked.weights.size(), 2U);

    Random random(1);
    const auto x = random_tensor({1, 4, 1, 8}, random), w = random_tensor({1, 6, 1, 4}, random);
    Package package{make_program(baked.function), {}};
    for (const BakedWeight& weight : baked.weights) {
        EXPECT_EQ(weight.rows, 6);
        EXPECT_EQ(weight.columns, 4);
        std::vector<double> values = w.data;
        if (weight.transposed) {
            for (std::size_t row = 0; row < 6; ++row) {
                for (std::size_t column = 0; column < 4; ++column) {
                    values[column * 6 + row] = w.data[row * 4 + column];
                }
            }
        }
        package.weights.store(weight.path, weight.dtype, {static_cast<std::int64_t>(values.size())},
                              values);
    }
    const auto expected = interpret({make_program(plain), {}}, {{"x", x}, {"w", w}});
    EXPECT_EQ(interpret(package, {{"x", x}}).at("y").data, expected.at("y").data);
    for (const auto& operation : baked.function.operations) {
        EXPECT_NE(operation.op, "matmul");
    }
}

/// The way to a product's matrices and back is no reshape when the product is a convolution, and
/// the constants of what is gone are gone too: 32,000 rows fit as channels where they do not fit as
/// the rows of a matrix.
TEST(BakeWeights, LeavesNoReshapesAroundAConvolution) {
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 4, 1, 8}));
    const auto w = b.input("w", Type::tensor(DType::fp16, {1, 6, 1, 4}));
    const auto product = b.matmul(b.reshape(w, {1, 1, 6, 4}), b.reshape(x, {1, 1, 4, 8}));
    b.output(b.rename(b.reshape(product, {1, 6, 1, 8}), "y"));
    const Baked baked = bake_weights(b.take(), {"w"});
    verify(make_program(baked.function));
    std::vector<std::string> ops;
    for (const auto& operation : baked.function.operations) {
        if (operation.op != "const") {
            ops.push_back(operation.op);
        }
        EXPECT_FALSE(operation.results.front().name.starts_with("_list") &&
                     operation.results.front().type.shape == Shape{4} &&
                     operation.find_attribute("val")->numbers().front() == 1.0);
    }
    EXPECT_EQ(ops, std::vector<std::string>{"conv"});
    EXPECT_EQ(baked.function.outputs, std::vector<std::string>{"y"});
}

/// A norm's gain, which mul takes as it is, twice.
TEST(BakeWeights, VectorsKeepTheirShape) {
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 4, 1, 8}));
    const auto gain = b.input("gain", Type::tensor(DType::fp16, {1, 4, 1, 1}));
    b.output(b.rename(b.add(b.mul(x, gain), b.mul(gain, b.unary("relu", x))), "y"));
    const Function plain = b.take();
    const Baked baked = bake_weights(plain, {"gain"});
    verify(make_program(baked.function));
    ASSERT_EQ(baked.function.parameters.size(), 1U);
    ASSERT_EQ(baked.weights.size(), 1U);
    EXPECT_EQ(baked.weights[0].parameter, "gain");
    EXPECT_EQ(baked.weights[0].rows, 4);
    EXPECT_EQ(baked.weights[0].columns, 1);
    Random random(2);
    const auto xs = random_tensor({1, 4, 1, 8}, random),
               gains = random_tensor({1, 4, 1, 1}, random);
    Package package{make_program(baked.function), {}};
    package.weights.store(baked.weights[0].path, DType::fp16, {4}, gains.data);
    EXPECT_EQ(interpret(package, {{"x", xs}}).at("y").data,
              interpret({make_program(plain), {}}, {{"x", xs}, {"gain", gains}}).at("y").data);

    const auto matrix = b.input("x", Type::tensor(DType::fp16, {1, 4, 1, 8}));
    b.output(b.mul(matrix, b.input("w", Type::tensor(DType::fp16, {1, 4, 1, 8}))));
    const Function whole = b.take();
    EXPECT_NE(error_text([&] { bake_weights(whole, {"w"}); }).find("'w' is argument 'y' of mul"),
              std::string::npos);
}

TEST(BakeWeights, RefusesOtherUsesOfAWeight) {
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 1, 4, 4}));
    const auto w = b.input("w", Type::tensor(DType::fp16, {1, 1, 4, 4}));
    b.output(b.rename(b.matmul(x, w), "y"));
    const Function right = b.take();
    EXPECT_EQ(error_text([&] { bake_weights(right, {"w"}); }),
              "[mil.bake_weights] weight 'w' is argument 'y' of matmul (%y): only products with it "
              "on the left and vectors that mul takes can be baked; use a pipeline that keeps "
              "weights as inputs");
    EXPECT_EQ(error_text([&] { bake_weights(right, {"v"}); }),
              "[mil.bake_weights] 'main' has no input 'v'");
}

}  // namespace
}  // namespace pome::mil::passes
