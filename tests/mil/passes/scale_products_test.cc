#include "mil/passes/scale_products.h"

#include <gtest/gtest.h>

#include "mil/builder.h"
#include "mil/interpreter.h"
#include "mil/verifier.h"
#include "support/test_data.h"

namespace pome::mil::passes {
namespace {

/// z = (a b^T) c, with a [2,3], b [4,3], c [4,5].
Function chain() {
    Builder b;
    const auto a = b.input("a", Type::tensor(DType::fp16, {1, 1, 2, 3}));
    const auto second = b.input("b", Type::tensor(DType::fp16, {1, 1, 4, 3}));
    const auto c = b.input("c", Type::tensor(DType::fp16, {1, 1, 4, 5}));
    const auto ab = b.rename(b.matmul(a, second, false, true), "ab");
    b.output(b.rename(b.matmul(ab, c), "z"));
    return b.take();
}

TEST(ScaleProducts, ListsProductsWithTheLengthOfTheirSums) {
    const auto products = products_of(chain());
    ASSERT_EQ(products.size(), 2U);
    EXPECT_EQ(products[0].left, "a");
    EXPECT_EQ(products[0].right, "b");
    EXPECT_EQ(products[0].inner, 3);
    EXPECT_EQ(products[1].result, "z");
    EXPECT_EQ(products[1].inner, 4);
}

TEST(ScaleProducts, KeepsNamesAndMeaning) {
    const Function plain = chain(), scaled = scale_products(plain);
    verify(make_program(scaled));
    EXPECT_EQ(scaled.outputs, plain.outputs);
    EXPECT_NE(scaled.find_type("ab"), nullptr);
    EXPECT_EQ(scaled.parameters.back().name, product_scales_input);
    EXPECT_EQ(scaled.parameters.back().type.shape, (Shape{1, 4, 1, product_scales_row}));

    Tensors inputs;
    for (const auto& parameter : plain.parameters) {
        reference::Tensor tensor(parameter.type.shape);
        for (std::size_t i = 0; i < tensor.data.size(); ++i) {
            tensor.data[i] = 0.25 * static_cast<double>(i) - 1.0;
        }
        inputs[parameter.name] = tensor;
    }
    const auto expected = interpret({make_program(plain), {}}, inputs).at("z").data;
    reference::Tensor scales({1, 4, 1, product_scales_row});
    for (const auto& [at, value] : {std::pair{0, 64.0}, {1, 0.25}, {2, 1.0 / 64.0}, {3, 4.0}}) {
        scales.data[static_cast<std::size_t>(at * product_scales_row)] = value;
    }
    inputs[std::string(product_scales_input)] = scales;
    EXPECT_EQ(interpret({make_program(scaled), {}}, inputs).at("z").data, expected);
}

TEST(ScaleProducts, ExposesOperandsThatAreComputed) {
    EXPECT_EQ(expose_operands(chain()).outputs, (std::vector<std::string>{"z", "ab"}));
}

TEST(ScaleProducts, RefusesATakenName) {
    Function function = chain();
    function.parameters.push_back(
        {std::string(product_scales_input), Type::tensor(DType::fp16, {1})});
    EXPECT_EQ(error_text([&] { scale_products(function); }),
              "[mil.scale_products] 'main' has a value 'product_scales' already");
}

}  // namespace
}  // namespace pome::mil::passes
