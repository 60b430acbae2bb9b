#include <cmath>

#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

const std::string two = "tensor<fp32, [2, 3]> x, tensor<fp32, [3, 2]> y0";
const reference::Tensor x23({2, 3}, counting(6)), y32({3, 2}, counting(6));

TEST(Matmul, SumsProductsOverTheInnerSize) {
    const auto y =
        run_text(two, "tensor<fp32, [2, 2]> y = matmul(x = x, y = y0);", {{"x", x23}, {"y0", y32}})
            .at("y");
    EXPECT_THAT(y.data, ElementsAre(22, 28, 49, 64));
}

TEST(Matmul, TransposesEitherOperand) {
    EXPECT_THAT(run_text(two,
                         "tensor<fp32, [3, 3]> y = matmul(x = x, y = y0, transpose_x = true, "
                         "transpose_y = true);",
                         {{"x", x23}, {"y0", y32}})
                    .at("y")
                    .data,
                ElementsAre(9, 19, 29, 12, 26, 40, 15, 33, 51));
    EXPECT_THAT(y_of("tensor<fp32, [2, 3]>", counting(6),
                     "tensor<fp32, [2, 2]> y = matmul(x = x, y = x, transpose_y = true);"),
                ElementsAre(14, 32, 32, 77));
    EXPECT_THAT(y_of("tensor<fp32, [2, 3]>", counting(6),
                     "tensor<fp32, [3, 3]> y = matmul(x = x, y = x, transpose_x = true);"),
                ElementsAre(17, 22, 27, 22, 29, 36, 27, 36, 45));
}

TEST(Matmul, BroadcastsLeadingAxes) {
    const auto y =
        run_text("tensor<fp32, [2, 1, 1, 2]> x, tensor<fp32, [3, 2, 1]> z",
                 "tensor<fp32, [2, 3, 1, 1]> y = matmul(x = x, y = z);",
                 {{"x", {{2, 1, 1, 2}, {1, 2, 3, 4}}}, {"z", {{3, 2, 1}, {1, 0, 0, 1, 1, 1}}}})
            .at("y");
    EXPECT_THAT(y.data, ElementsAre(1, 2, 3, 3, 4, 7));
}

TEST(Matmul, NamesShapesAndRule) {
    const std::string big = "tensor<fp16, [1, 1, 256, 768]> x, tensor<fp16, [1, 1, 512, 768]> z";
    EXPECT_EQ(refusal_of(big, "tensor<fp16, [1, 1, 256, 768]> y = matmul(x = x, y = z);"),
              "[mil.matmul] x [1,1,256,768] and y [1,1,512,768]: inner sizes 768 and 512 differ "
              "(line 1, %y)");
    EXPECT_EQ(
        refusal_of(big,
                   "tensor<fp16, [1, 1, 256, 256]> y = matmul(x = x, y = z, transpose_y = true);"),
        "[mil.matmul] result 'y' is declared fp16 [1,1,256,256], it is fp16 [1,1,256,512] (line 1, "
        "%y)");
    EXPECT_EQ(refusal_of("tensor<fp16, [2]> x", "tensor<fp16, [2]> y = matmul(x = x, y = x);"),
              "[mil.matmul] x [2] and y [2] must have rank 2 or more (line 1, %y)");
    EXPECT_EQ(
        refusal_of("tensor<fp16, [2, 3, 3]> x, tensor<fp16, [3, 3, 3]> z",
                   "tensor<fp16, [3, 3, 3]> y = matmul(x = x, y = z);"),
        "[mil.matmul] x [2,3,3] and y [3,3,3]: the leading axes do not broadcast (line 1, %y)");
    EXPECT_EQ(refusal_of("tensor<fp16, [3, 3]> x, tensor<fp32, [3, 3]> z",
                         "tensor<fp16, [3, 3]> y = matmul(x = x, y = z);"),
              "[mil.matmul] x is fp16 [3,3] and y is fp32 [3,3]; cast one (line 1, %y)");
    EXPECT_EQ(refusal_of("tensor<fp16, [3, 3]> x, bool t",
                         "tensor<fp16, [3, 3]> y = matmul(x = x, y = x, transpose_x = t);"),
              "[mil.matmul] 'transpose_x' must be a constant of bools (line 1, %y)");
}

TEST(Linear, TakesRowsTimesTheWeightTransposed) {
    const std::string weight = "weight = tensor<fp32, [2, 3]>([[1, 0, 0], [0, 1, 1]])";
    EXPECT_THAT(y_of("tensor<fp32, [2, 3]>", counting(6),
                     "tensor<fp32, [2, 2]> y = linear(x = x, " + weight +
                         ", bias = tensor<fp32, [2]>([10, 20]));"),
                ElementsAre(11, 25, 14, 31));
    EXPECT_THAT(y_of("tensor<fp32, [3]>", counting(3),
                     "tensor<fp32, [2]> y = linear(x = x, " + weight + ");"),
                ElementsAre(1, 5));
    EXPECT_EQ(refusal_of("tensor<fp32, [2, 4]> x",
                         "tensor<fp32, [2, 2]> y = linear(x = x, " + weight + ");"),
              "[mil.linear] x [2,4] and weight [2,3]: the last sizes 4 and 3 differ (line 1, %y)");
    EXPECT_EQ(
        refusal_of("tensor<fp32, [2, 3]> x", "tensor<fp32, [2, 2]> y = linear(x = x, " + weight +
                                                 ", bias = tensor<fp32, [1]>([1]));"),
        "[mil.linear] bias [1] must be [2] (line 1, %y)");
}

const std::string qkv =
    "tensor<fp32, [1, 1, 4]> q, tensor<fp32, [1, 2, 4]> k, tensor<fp32, [1, 2, 1]> v";

Tensors attention_inputs() {
    return {{"q", {{1, 1, 4}, {2, 0, 0, 0}}},
            {"k", {{1, 2, 4}, {1, 0, 0, 0, 3, 0, 0, 0}}},
            {"v", {{1, 2, 1}, {10, 20}}}};
}

// Scores 2 * 1 / sqrt(4) = 1 and 2 * 3 / 2 = 3.
TEST(Attention, WeighsValuesBySoftmaxOfScaledProducts) {
    const std::string call =
        "tensor<fp32, [1, 1, 1]> y = scaled_dot_product_attention(query = q, key = k, value = v";
    const double second = std::exp(3.0) / (std::exp(1.0) + std::exp(3.0));
    EXPECT_NEAR(run_text(qkv, call + ");", attention_inputs()).at("y").data[0], 10 + 10 * second,
                1e-12);
    EXPECT_NEAR(
        run_text(qkv, call + ", attn_mask = tensor<fp32, [1, 2]>([2, 0]));", attention_inputs())
            .at("y")
            .data[0],
        15, 1e-12);
    EXPECT_NEAR(run_text(qkv, call + ", attn_mask = tensor<bool, [1, 2]>([true, false]));",
                         attention_inputs())
                    .at("y")
                    .data[0],
                10, 1e-12);
    EXPECT_NEAR(run_text(qkv, call + ", attn_mask = tensor<bool, [1, 2]>([false, false]));",
                         attention_inputs())
                    .at("y")
                    .data[0],
                15, 1e-12);
    EXPECT_EQ(refusal_of(qkv, call + ", attn_mask = tensor<fp32, [3, 2]>([1, 2, 3, 4, 5, 6]));"),
              "[mil.scaled_dot_product_attention] attn_mask [3,2] does not broadcast to [1,1,2] "
              "(line 1, %y)");
    EXPECT_EQ(refusal_of(qkv,
                         "tensor<fp32, [1, 1, 1]> y = scaled_dot_product_attention(query = q, key "
                         "= v, value = k);"),
              "[mil.scaled_dot_product_attention] query [1,1,4], key [1,2,1] and value [1,2,4]: "
              "query and key differ in "
              "the last size (line 1, %y)");
}

TEST(Einsum, IsAMatrixProductOfItsLabels) {
    EXPECT_THAT(y_of("tensor<fp32, [1, 1, 1, 2]>", {1, 2},
                     "tensor<fp32, [1, 1, 1, 3]> y = einsum(values = (x, tensor<fp32, [1, 2, 1, "
                     "3]>([[[[1, 2, 3]], [[10, 20, 30]]]])), equation = "
                     "string(\"nchw,nwhu->nchu\"));"),
                ElementsAre(21, 42, 63));
    EXPECT_EQ(refusal_of("tensor<fp32, [2, 2]> x",
                         "tensor<fp32, [2]> y = einsum(values = (x, x), equation = "
                         "string(\"ii,ij->j\"));"),
              "[mil.einsum] equation 'ii,ij->j': 'i' stands twice in one operand (line 1, %y)");
    EXPECT_EQ(refusal_of("tensor<fp32, [2, 2]> x",
                         "tensor<fp32, [2]> y = einsum(values = (x, x), equation = "
                         "string(\"ij,jk->k\"));"),
              "[mil.einsum] equation 'ij,jk->k': 'i' is in x alone; sum it first (line 1, %y)");
}

}  // namespace
}  // namespace pome::mil
