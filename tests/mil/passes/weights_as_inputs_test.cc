#include "mil/passes/weights_as_inputs.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "mil/builder.h"
#include "mil/interpreter.h"
#include "mil/weights.h"

namespace pome::mil::passes {
namespace {

/// y = w x + b, and once more times g: a matrix, a vector that is added and one that multiplies.
struct Case {
    WeightFiles files;
    Function function;
};

Case affine() {
    Case made;
    Builder b;
    const auto weight = [&](const std::string& name, const Shape& shape,
                            const std::vector<double>& values) {
        return b.constant(
            made.files.store("@model_path/weights/" + name + ".bin", DType::fp32, shape, values),
            name);
    };
    const Value x = b.input("x", Type::tensor(DType::fp32, {1, 2, 1, 3}));
    const Value w = weight("w", {1, 1, 4, 2}, {1, 2, 3, 4, 5, 6, 7, 8}),
                c = weight("b", {1, 4, 1, 1}, {1, -1, 2, -2}),
                g = weight("g", {1, 4, 1, 1}, {0.5, 1, 2, 4});
    const Value product = b.matmul(w, b.reshape(x, {1, 1, 2, 3}));
    b.output(b.rename(b.mul(b.add(b.reshape(product, {1, 4, 1, 3}), c), g), "y"));
    made.function = b.take();
    return made;
}

reference::Tensor run(const Function& function, const WeightFiles& files, Tensors inputs) {
    inputs["x"] = {{1, 2, 1, 3}, {1, 2, 3, 4, 5, 6}};
    return interpret({make_program(function), files}, inputs).at("y");
}

TEST(WeightsAsInputs, ConstantsBecomeInputsAndBackWithTheSameResult) {
    const Case made = affine();
    const auto constants = blob_constants(made.function);
    ASSERT_EQ(constants.size(), 3U);
    EXPECT_EQ(constants[0].name, "w");
    const auto expected = run(made.function, made.files, {});

    const Function with_inputs = constants_to_inputs(made.function, {"w", "b", "g"});
    EXPECT_EQ(with_inputs.parameters.size(), 4U);
    EXPECT_TRUE(blob_constants(with_inputs).empty());
    const Tensors weights{{"w", {{1, 1, 4, 2}, {1, 2, 3, 4, 5, 6, 7, 8}}},
                          {"b", {{1, 4, 1, 1}, {1, -1, 2, -2}}},
                          {"g", {{1, 4, 1, 1}, {0.5, 1, 2, 4}}}};
    EXPECT_EQ(run(with_inputs, {}, weights).data, expected.data);

    const Baked baked = inputs_to_constants(with_inputs, {"w", "b", "g"});
    EXPECT_EQ(baked.function.parameters.size(), 1U);
    ASSERT_EQ(baked.weights.size(), 3U);
    WeightFiles files;
    for (const BakedWeight& weight : baked.weights) {
        EXPECT_FALSE(weight.transposed);
        const auto& values = weights.at(weight.parameter).data;
        EXPECT_EQ(weight.rows * weight.columns, static_cast<std::int64_t>(values.size()));
        files.store(weight.path, DType::fp32, Shape{weight.rows * weight.columns}, values);
    }
    EXPECT_EQ(run(baked.function, files, {}).data, expected.data);
}

TEST(WeightsAsInputs, AMatrixOfAProductBecomesAConvolution) {
    const Baked baked = inputs_to_constants(constants_to_inputs(affine().function, {"w"}), {"w"});
    int convolutions = 0;
    for (const auto& operation : baked.function.operations) {
        convolutions += operation.op == "conv" ? 1 : 0;
        EXPECT_NE(operation.op, "matmul");
    }
    EXPECT_EQ(convolutions, 1);
}

TEST(WeightsAsInputs, AnUnknownConstantIsNamed) {
    try {
        constants_to_inputs(affine().function, {"v"});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.text(),
                  "[mil.weights_as_inputs] 'main' has no floating-point constant 'v' in a weight "
                  "file");
    }
}

}  // namespace
}  // namespace pome::mil::passes
