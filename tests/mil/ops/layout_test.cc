#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

const std::string x23 = "tensor<fp32, [2, 3]>";

std::vector<double> y_of_six(const std::string& statement) {
    return y_of(x23, counting(6), statement);
}
std::string refused(const std::string& statement) {
    return refusal_of(x23 + " x", statement);
}

TEST(Reshape, KeepsRowMajorOrder) {
    EXPECT_EQ(
        y_of_six("tensor<fp32, [3, 2]> y = reshape(x = x, shape = tensor<int32, [2]>([3, 2]));"),
        counting(6));
    EXPECT_EQ(
        y_of_six(
            "tensor<fp32, [2, 3, 1]> y = reshape(x = x, shape = tensor<int32, [3]>([0, -1, 1]));"),
        counting(6));
    EXPECT_EQ(refused("tensor<fp32, [4]> y = reshape(x = x, shape = tensor<int32, [1]>([4]));"),
              "[mil.reshape] x [2,3] has 6 elements, shape [4] does not (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [4]> y = reshape(x = x, shape = tensor<int32, [2]>([4, -1]));"),
              "[mil.reshape] x [2,3] has 6 elements, shape [4,?] does not (line 1, %y)");
    EXPECT_EQ(
        refused("tensor<fp32, [4]> y = reshape(x = x, shape = tensor<int32, [2]>([-1, -1]));"),
        "[mil.reshape] shape [?,?] leaves more than one size open (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [4]> y = reshape(x = x, shape = tensor<int32, [1]>([-2]));"),
              "[mil.reshape] shape has the size -2; -1 and more are allowed (line 1, %y)");
}

TEST(Transpose, MovesAxes) {
    EXPECT_THAT(
        y_of_six("tensor<fp32, [3, 2]> y = transpose(x = x, perm = tensor<int32, [2]>([1, 0]));"),
        ElementsAre(1, 4, 2, 5, 3, 6));
    EXPECT_THAT(
        y_of(
            "tensor<fp32, [2, 1, 3]>", counting(6),
            "tensor<fp32, [3, 2, 1]> y = transpose(x = x, perm = tensor<int32, [3]>([-1, 0, 1]));"),
        ElementsAre(1, 4, 2, 5, 3, 6));
    EXPECT_EQ(
        refused("tensor<fp32, [3, 2]> y = transpose(x = x, perm = tensor<int32, [2]>([1, 1]));"),
        "[mil.transpose] perm names axis 1 twice (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [3, 2]> y = transpose(x = x, perm = tensor<int32, [1]>([1]));"),
              "[mil.transpose] perm has 1 entries, x [2,3] has rank 2 (line 1, %y)");
}

TEST(ExpandDims, InsertsAxesAndSqueezeRemovesThem) {
    EXPECT_EQ(y_of_six("tensor<fp32, [1, 2, 3, 1]> y = expand_dims(x = x, axes = tensor<int32, "
                       "[2]>([0, -1]));"),
              counting(6));
    EXPECT_EQ(
        refused("tensor<fp32, [1, 2, 3]> y = expand_dims(x = x, axes = tensor<int32, [1]>([3]));"),
        "[mil.expand_dims] axis 3 is not in [-3, 3) (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [1, 1, 2, 3]> y = expand_dims(x = x, axes = tensor<int32, "
                      "[2]>([0, -4]));"),
              "[mil.expand_dims] axis -4 is given twice (line 1, %y)");
    EXPECT_EQ(y_of("tensor<fp32, [1, 2, 1]>", counting(2), "tensor<fp32, [2]> y = squeeze(x = x);"),
              counting(2));
    EXPECT_EQ(y_of("tensor<fp32, [1, 2, 1]>", counting(2),
                   "tensor<fp32, [1, 2]> y = squeeze(x = x, axes = tensor<int32, [1]>([-1]));"),
              counting(2));
    EXPECT_EQ(refused("tensor<fp32, [3]> y = squeeze(x = x, axes = tensor<int32, [1]>([0]));"),
              "[mil.squeeze] axis 0 of x [2,3] is not 1 (line 1, %y)");
}

TEST(Pad, SurroundsTheLastAxes) {
    const auto y = [](const std::string& rest) {
        return y_of(
            "tensor<fp32, [1, 3]>", counting(3),
            "tensor<fp32, [1, 6]> y = pad(x = x, pad = tensor<int32, [2]>([1, 2])" + rest + ");");
    };
    EXPECT_THAT(y(", constant_val = fp32(9)"), ElementsAre(9, 1, 2, 3, 9, 9));
    EXPECT_THAT(y(""), ElementsAre(0, 1, 2, 3, 0, 0));
    EXPECT_THAT(y(", mode = string(\"reflect\")"), ElementsAre(2, 1, 2, 3, 2, 1));
    EXPECT_THAT(y(", mode = string(\"replicate\")"), ElementsAre(1, 1, 2, 3, 3, 3));
    EXPECT_THAT(
        y_of("tensor<fp32, [1, 2]>", counting(2),
             "tensor<fp32, [2, 3]> y = pad(x = x, pad = tensor<int32, [4]>([1, 0, 0, 1]));"),
        ElementsAre(0, 0, 0, 1, 2, 0));
    EXPECT_EQ(
        refused("tensor<fp32, [2, 6]> y = pad(x = x, pad = tensor<int32, [2]>([3, 0]), mode = "
                "string(\"reflect\"));"),
        "[mil.pad] axis 1 of x [2,3] is too short to reflect 3 before and 0 after (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [2, 6]> y = pad(x = x, pad = tensor<int32, [2]>([3, -1]));"),
              "[mil.pad] pad must not be negative, it has -1 (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [2, 6]> y = pad(x = x, pad = tensor<int32, [3]>([1, 1, 1]));"),
              "[mil.pad] pad has 3 entries; x [2,3] takes two an axis, at most 4 (line 1, %y)");
}

TEST(Tile, RepeatsAndReverseTurns) {
    EXPECT_THAT(y_of("tensor<fp32, [2, 1]>", counting(2),
                     "tensor<fp32, [4, 2]> y = tile(x = x, reps = tensor<int32, [2]>([2, 2]));"),
                ElementsAre(1, 1, 2, 2, 1, 1, 2, 2));
    EXPECT_EQ(refused("tensor<fp32, [2, 3]> y = tile(x = x, reps = tensor<int32, [2]>([1, 0]));"),
              "[mil.tile] reps must be at least 1, it has 0 (line 1, %y)");
    EXPECT_THAT(
        y_of_six("tensor<fp32, [2, 3]> y = reverse(x = x, axes = tensor<int32, [1]>([-1]));"),
        ElementsAre(3, 2, 1, 6, 5, 4));
    EXPECT_THAT(y_of_six("tensor<fp32, [2, 3]> y = reverse(x = x);"),
                ElementsAre(6, 5, 4, 3, 2, 1));
}

TEST(SliceBySize, TakesABox) {
    EXPECT_THAT(y_of_six("tensor<fp32, [1, 2]> y = slice_by_size(x = x, begin = tensor<int32, "
                         "[2]>([1, 1]), size = tensor<int32, [2]>([1, 2]));"),
                ElementsAre(5, 6));
    EXPECT_THAT(y_of_six("tensor<fp32, [2, 1]> y = slice_by_size(x = x, begin = tensor<int32, "
                         "[2]>([0, 2]), size = tensor<int32, [2]>([-1, -1]));"),
                ElementsAre(3, 6));
    EXPECT_EQ(refused("tensor<fp32, [2, 2]> y = slice_by_size(x = x, begin = tensor<int32, "
                      "[2]>([0, 2]), size = tensor<int32, [2]>([2, 2]));"),
              "[mil.slice_by_size] axis 1: 2 elements from 2 do not lie in x [2,3] (line 1, %y)");
    EXPECT_EQ(
        refused("tensor<fp32, [2, 2]> y = slice_by_size(x = x, begin = tensor<int32, [1]>([0]), "
                "size = tensor<int32, [2]>([2, 2]));"),
        "[mil.slice_by_size] begin has 1 and size 2 entries, x [2,3] has rank 2 (line 1, %y)");
}

TEST(SliceByIndex, ReadsIndicesAsNumPyDoes) {
    const auto y = [](const std::string& size, int begin, int end, const std::string& rest) {
        return y_of("tensor<fp32, [5]>", counting(5),
                    "tensor<fp32, [" + size +
                        "]> y = slice_by_index(x = x, begin = tensor<int32, [1]>([" +
                        std::to_string(begin) + "]), end = tensor<int32, [1]>([" +
                        std::to_string(end) + "])" + rest + ");");
    };
    const auto stride = [](int by) {
        return ", stride = tensor<int32, [1]>([" + std::to_string(by) + "])";
    };
    const std::string from_start = ", begin_mask = tensor<bool, [1]>([true])",
                      to_end = ", end_mask = tensor<bool, [1]>([true])";
    EXPECT_THAT(y("2", 1, 3, ""), ElementsAre(2, 3));
    EXPECT_THAT(y("2", -3, -1, ""), ElementsAre(3, 4));
    EXPECT_THAT(y("2", 3, 2147483647, ""), ElementsAre(4, 5));
    EXPECT_THAT(y("3", 0, 5, stride(2)), ElementsAre(1, 3, 5));
    EXPECT_THAT(y("2", 4, 0, stride(-2)), ElementsAre(5, 3));
    EXPECT_THAT(y("3", 4, 0, stride(-2) + to_end), ElementsAre(5, 3, 1));
    EXPECT_THAT(y("5", 0, 0, stride(-1) + to_end + from_start), ElementsAre(5, 4, 3, 2, 1));
    EXPECT_THAT(y("4", 9, 4, from_start), ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(y("0", 3, 1, ""), ElementsAre());
}

TEST(SliceByIndex, DropsSqueezedAxes) {
    const std::string call =
        " y = slice_by_index(x = x, end = tensor<int32, [2]>([0, 0]), end_mask = tensor<bool, "
        "[2]>([true, true]), squeeze_mask = "
        "tensor<bool, [2]>([true, false]), begin = tensor<int32, [2]>(";
    EXPECT_THAT(y_of_six("tensor<fp32, [2]>" + call + "[-1, 1]));"), ElementsAre(5, 6));
    EXPECT_EQ(refused("tensor<fp32, [2]>" + call + "[2, 1]));"),
              "[mil.slice_by_index] index 2 is outside axis 0 of x [2,3] (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [2]> y = slice_by_index(x = x, begin = tensor<int32, [2]>([0, "
                      "0]), end = tensor<int32, [2]>([1, 1]), stride = "
                      "tensor<int32, [2]>([1, 0]));"),
              "[mil.slice_by_index] stride of axis 1 is 0 (line 1, %y)");
}

TEST(Concat, JoinsAndInterleaves) {
    const std::string two =
        "tensor<fp32, [1, 2]> a, tensor<fp32, [1, 2]> b, tensor<fp32, [1, 1]> c";
    const Tensors inputs{{"a", {{1, 2}, {1, 2}}},
                         {"b", {{1, 2}, {3, 4}}},
                         {"c", reference::Tensor({1, 1}, std::vector<double>{5})}};
    const auto y = [&](const std::string& statement) {
        return run_text(two, statement, inputs).at("y").data;
    };
    EXPECT_THAT(y("tensor<fp32, [1, 5]> y = concat(values = (a, c, b), axis = int32(1));"),
                ElementsAre(1, 2, 5, 3, 4));
    EXPECT_THAT(
        y("tensor<fp32, [2, 2]> y = concat(values = (a, b), axis = int32(0), interleave = false);"),
        ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(
        y("tensor<fp32, [1, 4]> y = concat(values = (a, b), axis = int32(-1), interleave = true);"),
        ElementsAre(1, 3, 2, 4));
    EXPECT_THAT(y("tensor<fp32, [1, 2, 2]> y = stack(values = (a, b), axis = int32(-1));"),
                ElementsAre(1, 3, 2, 4));
    EXPECT_THAT(y("tensor<fp32, [2, 1, 2]> y = stack(values = (a, b), axis = int32(0));"),
                ElementsAre(1, 2, 3, 4));
    EXPECT_EQ(refusal_of(two, "tensor<fp32, [2, 2]> y = concat(values = (a, c), axis = int32(0));"),
              "[mil.concat] value 1 is fp32 [1,1], value 0 is fp32 [1,2]: only axis 0 may differ "
              "(line 1, %y)");
    EXPECT_EQ(refusal_of(two,
                         "tensor<fp32, [1, 3]> y = concat(values = (a, c), axis = int32(1), "
                         "interleave = true);"),
              "[mil.concat] value 1 is fp32 [1,1], value 0 is fp32 [1,2]: interleaved values must "
              "be equal (line 1, %y)");
    EXPECT_EQ(refusal_of(two, "tensor<fp32, [1, 3]> y = stack(values = (a, c), axis = int32(1));"),
              "[mil.stack] value 1 is fp32 [1,1], value 0 is fp32 [1,2]: they must be equal (line "
              "1, %y)");
    EXPECT_EQ(refusal_of(two, "tensor<fp32, [1, 3]> y = stack(values = (a, b), axis = int32(3));"),
              "[mil.stack] axis 3 is not in [-3, 2] (line 1, %y)");
}

TEST(Split, CutsAlongAnAxis) {
    const auto parts = run_text(x23 + " x",
                                "tensor<fp32, [2, 1]> a, tensor<fp32, [2, 2]> b = split(x = x, "
                                "axis = int32(1), split_sizes = "
                                "tensor<int32, [2]>([1, 2]));",
                                {{"x", {{2, 3}, counting(6)}}}, "a, b");
    EXPECT_THAT(parts.at("a").data, ElementsAre(1, 4));
    EXPECT_THAT(parts.at("b").data, ElementsAre(2, 3, 5, 6));
    const auto halves = run_text(x23 + " x",
                                 "tensor<fp32, [1, 3]> a, tensor<fp32, [1, 3]> b = split(x = x, "
                                 "axis = int32(0), num_splits = int32(2));",
                                 {{"x", {{2, 3}, counting(6)}}}, "a, b");
    EXPECT_THAT(halves.at("b").data, ElementsAre(4, 5, 6));
    EXPECT_EQ(refused("tensor<fp32, [2, 1]> y, tensor<fp32, [2, 1]> b = split(x = x, axis = "
                      "int32(1), num_splits = int32(2));"),
              "[mil.split] axis 1 of x [2,3] does not split into 2 equal parts (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [2, 1]> y, tensor<fp32, [2, 1]> b = split(x = x, axis = "
                      "int32(1), split_sizes = tensor<int32, [2]>([1, 1]));"),
              "[mil.split] split_sizes add up to 2, axis 1 of x [2,3] does not (line 1, %y)");
    EXPECT_EQ(refused("tensor<fp32, [2, 3]> y = split(x = x, axis = int32(1));"),
              "[mil.split] 'num_splits' or 'split_sizes' is missing (line 1, %y)");
    EXPECT_EQ(
        refused("tensor<fp32, [2, 1]> y = split(x = x, axis = int32(1), num_splits = int32(3));"),
        "[mil.split] gives 3 results, 1 are declared (line 1, %y)");
}

TEST(Layout, FillLikeTakesAShape) {
    EXPECT_THAT(y_of("tensor<fp32, [3]>", {-1, 0, 2},
                     "tensor<fp32, [3]> y = fill_like(ref_tensor = x, value = fp32(7));"),
                ElementsAre(7, 7, 7));
}

}  // namespace
}  // namespace pome::mil
