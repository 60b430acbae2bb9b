#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

const std::string x23 = "tensor<fp32, [2, 3]>";

TEST(Gather, PicksByIndexAlongAnAxis) {
    const auto y = [](const std::string& type, const std::string& rest) {
        return y_of(x23, counting(6), type + " y = gather(x = x, " + rest + ");");
    };
    EXPECT_THAT(y("tensor<fp32, [2, 3]>", "indices = tensor<int32, [2]>([1, -2])"),
                ElementsAre(4, 5, 6, 1, 2, 3));
    EXPECT_THAT(y("tensor<fp32, [2]>", "indices = int32(2), axis = int32(1)"), ElementsAre(3, 6));
    EXPECT_THAT(y("tensor<fp32, [2, 1, 2]>",
                  "indices = tensor<uint16, [1, 2]>([[2, 0]]), axis = int32(-1)"),
                ElementsAre(3, 1, 6, 4));
    EXPECT_THAT(
        y("tensor<fp32, [2, 1]>",
          "indices = tensor<int32, [2, 1]>([[2], [0]]), axis = int32(1), batch_dims = int32(1)"),
        ElementsAre(3, 4));
    EXPECT_EQ(refusal([&] { y("tensor<fp32, [1, 3]>", "indices = tensor<int32, [1]>([2])"); }),
              "[mil.gather] index 2 is outside axis 0 of x [2,3] (line 1, %y)");
    EXPECT_EQ(
        refusal_of(x23 + " x",
                   "tensor<fp32, [2]> y = gather(x = x, indices = fp32(1), axis = int32(1));"),
        "[mil.gather] 'indices' is fp32, which this op does not take (line 1, %y)");
    EXPECT_EQ(refusal_of(x23 + " x",
                         "tensor<fp32, [3]> y = gather(x = x, indices = tensor<int32, [3]>([0, 0, "
                         "0]), axis = int32(1), batch_dims = int32(1));"),
              "[mil.gather] x [2,3] and indices [3] differ on axis 0 of 1 batch axes (line 1, %y)");
    EXPECT_EQ(
        refusal_of(
            x23 + " x",
            "tensor<fp32, [3]> y = gather(x = x, indices = int32(0), batch_dims = int32(1));"),
        "[mil.gather] batch_dims 1 must lie between 0 and axis 0 and not exceed the rank of "
        "indices [] (line 1, %y)");
}

TEST(GatherAlongAxis, PicksForEachLine) {
    EXPECT_THAT(y_of(x23, counting(6),
                     "tensor<fp32, [2, 2]> y = gather_along_axis(x = x, axis = int32(1), indices = "
                     "tensor<int32, [2, 2]>([[2, 0], [-1, "
                     "1]]));"),
                ElementsAre(3, 1, 6, 5));
    EXPECT_THAT(y_of(x23, counting(6),
                     "tensor<fp32, [1, 3]> y = gather_along_axis(x = x, indices = tensor<int32, "
                     "[1, 3]>([[1, 0, 1]]));"),
                ElementsAre(4, 2, 6));
    EXPECT_EQ(
        refusal_of(x23 + " x",
                   "tensor<fp32, [1, 2]> y = gather_along_axis(x = x, indices = tensor<int32, [1, "
                   "2]>([[1, 0]]));"),
        "[mil.gather_along_axis] x [2,3] and indices [1,2] may differ on axis 0 only (line 1, %y)");
}

TEST(TopK, OrdersValuesAndIndices) {
    const std::string call =
        "tensor<fp32, [2, 2]> v, tensor<int32, [2, 2]> i = topk(x = x, k = int32(2), axis = "
        "int32(1)";
    const Tensors x{{"x", {{2, 3}, {1, 3, 3, 9, 7, 8}}}};
    auto y = run_text(x23 + " x", call + ");", x, "v, i");
    EXPECT_THAT(y.at("v").data, ElementsAre(3, 3, 9, 8));
    EXPECT_THAT(y.at("i").data, ElementsAre(1, 2, 0, 2));
    y = run_text(x23 + " x", call + ", ascending = true);", x, "v, i");
    EXPECT_THAT(y.at("v").data, ElementsAre(1, 3, 7, 8));
    EXPECT_THAT(y.at("i").data, ElementsAre(0, 1, 1, 2));
    EXPECT_THAT(
        run_text(x23 + " x",
                 "tensor<fp32, [1, 3]> y = topk(x = x, axis = int32(0), return_indices = false);",
                 x)
            .at("y")
            .data,
        ElementsAre(9, 7, 8));
    EXPECT_EQ(
        refusal_of(x23 + " x",
                   "tensor<fp32, [2, 4]> y, tensor<int32, [2, 4]> i = topk(x = x, k = int32(4));"),
        "[mil.topk] k 4 is not in [0, 3], the size of axis 1 (line 1, %y)");
}

TEST(ReduceArgmax, GivesTheFirstOfEquals) {
    const std::vector<double> x{1, 3, 3, 4, 2, 2};
    EXPECT_THAT(y_of(x23, x, "tensor<int32, [2]> y = reduce_argmax(x = x);"), ElementsAre(1, 0));
    EXPECT_THAT(
        y_of(x23, x,
             "tensor<int32, [1, 3]> y = reduce_argmax(x = x, axis = int32(0), keep_dims = true);"),
        ElementsAre(1, 0, 0));
    EXPECT_THAT(
        y_of(x23, x,
             "tensor<uint16, [2]> y = reduce_argmin(x = x, output_dtype = string(\"uint16\"));"),
        ElementsAre(0, 1));
    EXPECT_EQ(
        refusal_of(x23 + " x",
                   "tensor<fp16, [2]> y = reduce_argmax(x = x, output_dtype = string(\"fp16\"));"),
        "[mil.reduce_argmax] output_dtype 'fp16' is not an integer type (line 1, %y)");
}

TEST(ShapeAndRange, AreKnownFromTheirArguments) {
    EXPECT_THAT(y_of(x23, counting(6), "tensor<int32, [2]> y = shape(x = x);"), ElementsAre(2, 3));
    EXPECT_THAT(
        y_of("fp32", {0},
             "tensor<fp32, [3]> y = range_1d(start = fp32(1), end = fp32(2.5), step = fp32(0.5));"),
        ElementsAre(1, 1.5, 2));
    EXPECT_THAT(
        y_of(
            "fp32", {0},
            "tensor<int32, [2]> y = range_1d(start = int32(5), end = int32(1), step = int32(-2));"),
        ElementsAre(5, 3));
    EXPECT_EQ(
        refusal_of(
            "fp32 x",
            "tensor<int32, [2]> y = range_1d(start = int32(5), end = int32(6), step = int32(0));"),
        "[mil.range_1d] from 5 to 6 by 0 has no length up to 2^31 (line 1, %y)");
}

TEST(Quantize, RoundsHalvesToEvenAndClamps) {
    EXPECT_THAT(y_of("tensor<fp32, [5]>", {1.25, 1.75, -0.75, 1000, -1000},
                     "tensor<int8, [5]> y = quantize(input = x, scale = fp32(0.5), output_dtype = "
                     "string(\"int8\"));"),
                ElementsAre(2, 4, -2, 127, -128));
    EXPECT_THAT(y_of("tensor<fp32, [2]>", {1, -100},
                     "tensor<uint8, [2]> y = quantize(input = x, scale = fp32(0.5), zero_point = "
                     "uint8(128), output_dtype = "
                     "string(\"uint8\"));"),
                ElementsAre(130, 0));
    EXPECT_THAT(y_of("tensor<int8, [2, 2]>", counting(4),
                     "tensor<fp32, [2, 2]> y = dequantize(input = x, scale = tensor<fp32, [2]>([1, "
                     "10]), zero_point = "
                     "tensor<int8, [2]>([0, 1]), axis = int32(0));"),
                ElementsAre(1, 2, 20, 30));
    EXPECT_EQ(refusal_of("tensor<int8, [2, 3]> x",
                         "tensor<fp32, [2, 3]> y = dequantize(input = x, scale = tensor<fp32, "
                         "[2]>([1, 10]), axis = int32(1));"),
              "[mil.dequantize] scale [2] must be [3], the size of axis 1 of [2,3] (line 1, %y)");
    EXPECT_EQ(
        refusal_of(
            "tensor<int8, [2, 3]> x",
            "tensor<fp32, [2, 3]> y = dequantize(input = x, scale = tensor<fp32, [2]>([1, 10]));"),
        "[mil.dequantize] scale [2] is no scalar, so 'axis' must be given (line 1, %y)");
    EXPECT_EQ(refusal_of("tensor<fp32, [2]> x",
                         "tensor<int32, [2]> y = quantize(input = x, scale = fp32(1), output_dtype "
                         "= string(\"int32\"));"),
              "[mil.quantize] output_dtype 'int32' is not int8 or uint8 (line 1, %y)");
}

TEST(Constexpr, IsReadFromAttributes) {
    EXPECT_THAT(y_of("fp16", {2},
                     "tensor<fp16, [3]> w = constexpr_affine_dequantize()[axis = int32(0), name = "
                     "string(\"w\"), quantized_data = tensor<int8, "
                     "[3]>([-4, 0, 8]), scale = fp16(0.5), zero_point = int8(2)]; tensor<fp16, "
                     "[3]> y = mul(x = x, y = w);"),
                ElementsAre(-6, -2, 6));
    EXPECT_THAT(y_of("fp16", {1},
                     "tensor<fp16, [2, 2]> w = constexpr_blockwise_shift_scale(data = tensor<int8, "
                     "[2, 2]>([[1, 2], [3, 4]]), scale = "
                     "tensor<fp16, [2, 1]>([[1], [10]]), offset = tensor<int8, [2, 1]>([[0], "
                     "[1]])); tensor<fp16, [2, 2]> y = mul(x = x, y = w);"),
                ElementsAre(1, 2, 20, 30));
    EXPECT_EQ(refusal_of("fp16 x",
                         "tensor<fp16, [3]> y = constexpr_affine_dequantize()[axis = int32(0), "
                         "scale = fp16(0.5)];"),
              "[mil.constexpr_affine_dequantize] 'quantized_data' is missing (line 1, %y)");
}

TEST(Indexing, ArgsortGivesTheOrder) {
    EXPECT_THAT(y_of("tensor<fp32, [4]>", {3, 1, 2, 4},
                     "tensor<int32, [4]> y = argsort(x = x, axis = int32(0));"),
                ElementsAre(3, 0, 2, 1));
}

TEST(Indexing, GatherNdTakesRowsOfIndices) {
    EXPECT_THAT(y_of("tensor<fp32, [2, 2]>", {1, 2, 3, 4},
                     "tensor<fp32, [2]> y = gather_nd(x = x, indices = tensor<int32, [2, 2]>([[1, "
                     "0], [0, -1]]));"),
                ElementsAre(3, 2));
}

}  // namespace
}  // namespace pome::mil
