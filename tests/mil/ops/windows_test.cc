#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

const std::string one_row = "tensor<fp32, [1, 1, 1, 5]>";
const std::string ones3 = "weight = tensor<fp32, [1, 1, 1, 3]>([[[[1, 10, 100]]]])";

TEST(Conv, OneByOneMixesChannels) {
    EXPECT_THAT(y_of("tensor<fp32, [1, 2, 1, 3]>", counting(6),
                     "tensor<fp32, [1, 2, 1, 3]> y = conv(x = x, weight = tensor<fp32, [2, 2, 1, "
                     "1]>([[[[1]], [[10]]], [[[0]], "
                     "[[-1]]]]), bias = tensor<fp32, [2]>([1000, 0]));"),
                ElementsAre(1041, 1052, 1063, -4, -5, -6));
}

TEST(Conv, PadsByEveryPadType) {
    const auto y = [&](const std::string& width, const std::string& form) {
        return y_of(
            one_row, counting(5),
            "tensor<fp32, [1, 1, 1, " + width + "]> y = conv(x = x, " + ones3 + form + ");");
    };
    EXPECT_THAT(y("3", ""), ElementsAre(321, 432, 543));
    EXPECT_THAT(y("5", ", pad_type = string(\"same\")"), ElementsAre(210, 321, 432, 543, 54));
    EXPECT_THAT(y("6", ", pad_type = string(\"custom\"), pad = tensor<int32, [4]>([0, 0, 1, 2])"),
                ElementsAre(210, 321, 432, 543, 54, 5));
    EXPECT_THAT(y("3", ", pad = tensor<int32, [4]>([0, 0, 1, 2])"),
                ElementsAre(321, 432, 543));  // pad of valid is unread
    EXPECT_THAT(y("2", ", strides = tensor<int32, [2]>([1, 2])"), ElementsAre(321, 543));
    EXPECT_THAT(y("1", ", dilations = tensor<int32, [2]>([1, 2])"), ElementsAre(531));
}

// Width 4, stride 2, kernel 3: two windows need 5 positions, so one is padded: after x or, lower,
// before.
TEST(Conv, SamePutsTheOddPositionAfterAndSameLowerBefore) {
    const auto y = [&](const std::string& type) {
        return y_of("tensor<fp32, [1, 1, 1, 4]>", counting(4),
                    "tensor<fp32, [1, 1, 1, 2]> y = conv(x = x, " + ones3 +
                        ", strides = tensor<int32, [2]>([1, 2]), pad_type = string(\"" + type +
                        "\"));");
    };
    EXPECT_THAT(y("same"), ElementsAre(321, 43));
    EXPECT_THAT(y("same_lower"), ElementsAre(210, 432));
}

TEST(Conv, WorksOnOneAndThreeSpatialAxes) {
    EXPECT_THAT(y_of("tensor<fp32, [1, 1, 3]>", counting(3),
                     "tensor<fp32, [1, 1, 2]> y = conv(x = x, weight = tensor<fp32, [1, 1, "
                     "2]>([[[1, 10]]]));"),
                ElementsAre(21, 32));
    EXPECT_THAT(y_of("tensor<fp32, [1, 1, 2, 2, 2]>", counting(8),
                     "tensor<fp32, [1, 1, 1, 2, 1]> y = conv(x = x, weight = tensor<fp32, [1, 1, "
                     "2, 1, 2]>([[[[[1, 10]], [[100, "
                     "1000]]]]]));"),
                ElementsAre(6521, 8743));
}

TEST(Conv, KeepsGroupsApart) {
    EXPECT_THAT(y_of("tensor<fp32, [1, 2, 1, 2]>", counting(4),
                     "tensor<fp32, [1, 2, 1, 2]> y = conv(x = x, weight = tensor<fp32, [2, 1, 1, "
                     "1]>([[[[10]]], [[[100]]]]), "
                     "groups = int32(2));"),
                ElementsAre(10, 20, 300, 400));
}

TEST(Conv, NamesShapesAndRule) {
    const auto refused = [&](const std::string& x, const std::string& rest) {
        return refusal_of(x + " x", "tensor<fp32, [1, 1, 1, 1]> y = conv(x = x, " + rest + ");");
    };
    EXPECT_EQ(refused("tensor<fp32, [1, 2, 1, 5]>", ones3),
              "[mil.conv] x [1,2,1,5] and weight [1,1,1,3]: the weight takes 1 channels, 2 "
              "channels in 1 groups have 2 (line "
              "1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [1, 1, 1, 2]>", ones3),
              "[mil.conv] the kernel spans 3 positions of x [1,1,1,2], which has 2 with padding "
              "(line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [1, 1, 5]>", ones3),
              "[mil.conv] x [1,1,5] and weight [1,1,1,3] must have one rank (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [1, 5]>", ones3),
              "[mil.conv] x [1,5] must have rank 3, 4 or 5 (line 1, %y)");
    EXPECT_EQ(refused(one_row, ones3 + ", groups = int32(2)"),
              "[mil.conv] x [1,1,1,5] and weight [1,1,1,3]: 1 input and 1 output channels do not "
              "divide into 2 groups (line 1, "
              "%y)");
    EXPECT_EQ(refused(one_row, ones3 + ", strides = tensor<int32, [1]>([1])"),
              "[mil.conv] strides must have 2 entries, it has 1 (line 1, %y)");
    EXPECT_EQ(refused(one_row, ones3 + ", strides = tensor<int32, [2]>([0, 1])"),
              "[mil.conv] strides must be at least 1, it has 0 (line 1, %y)");
    EXPECT_EQ(refused(one_row, ones3 + ", pad_type = string(\"full\")"),
              "[mil.conv] pad_type 'full' is not valid, same, same_lower or custom (line 1, %y)");
    EXPECT_EQ(refused(one_row, ones3 + ", bias = tensor<fp32, [2]>([1, 2])"),
              "[mil.conv] bias [2] must be [1] (line 1, %y)");
}

TEST(ConvTranspose, SpreadsEachElement) {
    const std::string weight = "weight = tensor<fp32, [1, 1, 1, 3]>([[[[1, 10, 100]]]])";
    const auto y = [&](const std::string& width, const std::string& form) {
        return y_of("tensor<fp32, [1, 1, 1, 2]>", counting(2),
                    "tensor<fp32, [1, 1, 1, " + width + "]> y = conv_transpose(x = x, " + weight +
                        form + ");");
    };
    const std::string stride2 = ", strides = tensor<int32, [2]>([1, 2])";
    EXPECT_THAT(y("4", ""), ElementsAre(1, 12, 120, 200));
    EXPECT_THAT(y("5", stride2), ElementsAre(1, 10, 102, 20, 200));
    EXPECT_THAT(y("4", stride2 + ", pad_type = string(\"same\")"), ElementsAre(1, 10, 102, 20));
    EXPECT_THAT(y("3", ", pad_type = string(\"custom\"), pad = tensor<int32, [4]>([0, 0, 1, 0])"),
                ElementsAre(12, 120, 200));
    EXPECT_THAT(y("6", stride2 + ", output_shape = tensor<int32, [4]>([1, 1, 1, 6])"),
                ElementsAre(1, 10, 102, 20, 200, 0));
}

TEST(ConvTranspose, KeepsGroupsApartAndAddsBias) {
    EXPECT_THAT(y_of("tensor<fp32, [1, 2, 1]>", {2, 3},
                     "tensor<fp32, [1, 4, 1]> y = conv_transpose(x = x, weight = tensor<fp32, [2, "
                     "2, 1]>([[[1], [10]], [[100], "
                     "[1000]]]), groups = int32(2), bias = tensor<fp32, [4]>([0, 1, 0, 1]));"),
                ElementsAre(2, 21, 300, 3001));
    EXPECT_EQ(refusal_of("tensor<fp32, [1, 3, 1]> x",
                         "tensor<fp32, [1, 2, 1]> y = conv_transpose(x = x, weight = tensor<fp32, "
                         "[2, 2, 1]>([[[1], [10]], [[100], [1000]]]));"),
              "[mil.conv_transpose] x [1,3,1] and weight [2,2,1]: the weight takes 2 channels, x "
              "has 3 (line 1, %y)");
}

TEST(Pool, TakesLargestOrMeanOfEachWindow) {
    const std::string form = "x = x, kernel_sizes = tensor<int32, [1]>([2]), ";
    const auto y = [&](const std::string& op, const std::string& width, const std::string& rest) {
        return y_of("tensor<fp32, [1, 1, 5]>", {1, 3, 2, -6, -4},
                    "tensor<fp32, [1, 1, " + width + "]> y = " + op + "(" + form + rest + ");");
    };
    const std::string stride2 = ", strides = tensor<int32, [1]>([2])",
                      valid = "pad_type = string(\"valid\")";
    const std::string custom = "pad_type = string(\"custom\"), pad = tensor<int32, [2]>([1, 1])";
    EXPECT_THAT(y("max_pool", "4", valid), ElementsAre(3, 3, 2, -4));
    EXPECT_THAT(y("avg_pool", "4", valid), ElementsAre(2, 2.5, -2, -5));
    EXPECT_THAT(y("max_pool", "2", valid + stride2), ElementsAre(3, 2));
    EXPECT_THAT(y("max_pool", "3", valid + stride2 + ", ceil_mode = true"), ElementsAre(3, 2, -4));
    EXPECT_THAT(y("avg_pool", "3", valid + stride2 + ", ceil_mode = true"), ElementsAre(2, -2, -4));
    EXPECT_THAT(y("max_pool", "6", custom), ElementsAre(1, 3, 3, 2, -4, -4));  // padding never wins
    EXPECT_THAT(y("avg_pool", "6", custom), ElementsAre(0.5, 2, 2.5, -2, -5, -2));
    EXPECT_THAT(y("avg_pool", "6", custom + ", exclude_padding_from_average = true"),
                ElementsAre(1, 2, 2.5, -2, -5, -4));
    EXPECT_EQ(
        refusal_of("tensor<fp32, [1, 1, 5]> x",
                   "tensor<fp32, [1, 1, 8]> y = max_pool(" + form +
                       "pad_type = string(\"custom\"), pad = tensor<int32, [2]>([2, 2]));"),
        "[mil.max_pool] padding of axis 2 must be less than the kernel's 2 positions (line 1, %y)");
    EXPECT_EQ(
        refusal_of("tensor<fp32, [1, 1, 1, 5]> x",
                   "tensor<fp32, [1, 1, 1, 4]> y = max_pool(" + form + valid + ");"),
        "[mil.max_pool] kernel_sizes must have 2 entries for x [1,1,1,5], it has 1 (line 1, %y)");
}

TEST(Pool, L2IsTheNormOfAWindow) {
    EXPECT_THAT(y_of("tensor<fp32, [1, 1, 1, 4]>", {3, 4, 0, 5},
                     "tensor<fp32, [1, 1, 1, 2]> y = l2_pool(x = x, kernel_sizes = tensor<int32, "
                     "[2]>([1, 2]), strides = tensor<int32, [2]>([1, 2]), pad_type = "
                     "string(\"valid\"));"),
                ElementsAre(5, 5));
}

}  // namespace
}  // namespace pome::mil
