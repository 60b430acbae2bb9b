#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

const std::string four_channels = "tensor<fp32, [1, 4, 1, 2]>";
const std::string one_channel = "tensor<fp32, [1, 1, 2, 4]>";

TEST(Rearranging, DepthAndPixelsDifferInWhichChannelsAreTheBlock) {
    const auto y = [](const std::string& op, const std::string& factor) {
        return y_of("tensor<fp32, [1, 8, 1, 1]>", counting(8),
                    "tensor<fp32, [1, 2, 2, 2]> y = " + op + "(x = x, " + factor + " = int32(2));");
    };
    EXPECT_THAT(y("depth_to_space", "block_size"), ElementsAre(1, 3, 5, 7, 2, 4, 6, 8));
    EXPECT_THAT(y("pixel_shuffle", "upscale_factor"), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST(Rearranging, InversesUndo) {
    EXPECT_THAT(
        y_of(four_channels, counting(8),
             "tensor<fp32, [1, 1, 2, 4]> a = depth_to_space(x = x, block_size = int32(2));"
             "tensor<fp32, [1, 4, 1, 2]> y = space_to_depth(x = a, block_size = int32(2));"),
        testing::ElementsAreArray(counting(8)));
    EXPECT_THAT(
        y_of(
            four_channels, counting(8),
            "tensor<fp32, [1, 1, 2, 4]> a = pixel_shuffle(x = x, upscale_factor = int32(2));"
            "tensor<fp32, [1, 4, 1, 2]> y = pixel_unshuffle(x = a, downscale_factor = uint32(2));"),
        testing::ElementsAreArray(counting(8)));
    EXPECT_THAT(
        y_of(one_channel, counting(8),
             "tensor<fp32, [4, 1, 1, 3]> a = space_to_batch(x = x, block_shape = tensor<int32, "
             "[2]>([2, 2]), paddings = tensor<int32, [4]>([0, 0, 1, 1]));"
             "tensor<fp32, [1, 1, 2, 4]> y = batch_to_space(x = a, block_shape = tensor<int32, "
             "[2]>([2, 2]), crops = tensor<int32, [4]>([0, 0, 1, 1]));"),
        testing::ElementsAreArray(counting(8)));
}

TEST(Rearranging, CropsFlattensAndTakesShapes) {
    EXPECT_THAT(y_of(one_channel, counting(8),
                     "tensor<fp32, [1, 1, 1, 2]> y = crop(x = x, crop_height = tensor<int32, "
                     "[2]>([1, 0]), crop_width = tensor<int32, [2]>([1, 1]));"),
                ElementsAre(6, 7));
    EXPECT_THAT(y_of(four_channels, counting(8),
                     "tensor<fp32, [4, 2]> y = flatten2d(x = x, axis = int32(2));"),
                testing::ElementsAreArray(counting(8)));
    EXPECT_THAT(
        y_of(four_channels, counting(8),
             "tensor<fp32, [1, 2, 1, 4]> y = reshape_like(x = x, ref_tensors = (x, x), begins = "
             "tensor<int32, [2]>([2, 0]), ends = tensor<int32, [2]>([4, 2]));"),
        testing::ElementsAreArray(counting(8)));
}

TEST(Rearranging, SliceUpdateWritesIntoAPart) {
    EXPECT_THAT(
        y_of("tensor<fp32, [5]>", counting(5),
             "tensor<fp32, [5]> y = slice_update(x = x, update = tensor<fp32, [2]>([10, "
             "20]), begin = tensor<int32, [1]>([1]), end = tensor<int32, [1]>([4]), stride = "
             "tensor<int32, [1]>([2]));"),
        ElementsAre(1, 10, 3, 20, 5));
}

TEST(Rearranging, BrokenRulesAreNamed) {
    EXPECT_EQ(
        refusal_of("tensor<fp32, [1, 6, 1, 2]> x",
                   "tensor<fp32, [1, 1, 2, 4]> y = depth_to_space(x = x, block_size = "
                   "int32(2));"),
        "[mil.depth_to_space] the 6 channels of x [1,6,1,2] are no multiple of 4 (line 1, %y)");
    EXPECT_EQ(refusal_of("tensor<fp32, [1, 1, 2, 2]> x",
                         "tensor<fp32, [1, 1, 2, 2]> y = crop(x = x, crop_height = tensor<int32, "
                         "[2]>([1, 1]), crop_width = tensor<int32, [2]>([0, 0]));"),
              "[mil.crop] nothing is left of x [1,1,2,2] (line 1, %y)");
}

}  // namespace
}  // namespace pome::mil
