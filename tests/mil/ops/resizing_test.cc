#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

const std::string row3 = "tensor<fp32, [1, 1, 1, 3]>";

TEST(Resizing, TakesSamplesWhereTheModeSays) {
    const auto y = [](const std::string& mode) {
        return y_of(row3, {0, 10, 20},
                    "tensor<fp32, [1, 1, 1, 5]> y = resize_bilinear(x = x, target_size_height = "
                    "int32(1), target_size_width = int32(5), sampling_mode = string(\"" +
                        mode + "\"));");
    };
    EXPECT_THAT(y("STRICT_ALIGN_CORNERS"), ElementsAre(0, 5, 10, 15, 20));
    EXPECT_THAT(y("ALIGN_CORNERS"), ElementsAre(0, 5, 10, 15, 20));
    EXPECT_THAT(y("DEFAULT"), Pointwise(DoubleNear(1e-12), {0.0, 6.0, 12.0, 18.0, 20.0}));
    EXPECT_THAT(y("OFFSET_CORNERS"), Pointwise(DoubleNear(1e-12), {2.0, 6.0, 10.0, 14.0, 18.0}));
    EXPECT_THAT(y("UNALIGN_CORNERS"), Pointwise(DoubleNear(1e-12), {0.0, 4.0, 10.0, 16.0, 20.0}));
}

TEST(Resizing, RepeatsTheNearest) {
    EXPECT_THAT(y_of(row3, {1, 2, 3},
                     "tensor<fp32, [1, 1, 2, 6]> y = upsample_nearest_neighbor(x = x, "
                     "scale_factor_height = int32(2), scale_factor_width = int32(2));"),
                ElementsAre(1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3));
    EXPECT_THAT(y_of(row3, {1, 2, 3},
                     "tensor<fp32, [1, 1, 1, 2]> y = resize_nearest_neighbor(x = x, "
                     "target_size_height = int32(1), target_size_width = int32(2));"),
                ElementsAre(1, 2));
    EXPECT_THAT(y_of(row3, {1, 2, 3},
                     "tensor<fp32, [1, 1, 1, 6]> y = resize(x = x, shape = tensor<int32, [2]>([0, "
                     "6]), resized_dims = uint32(2), interpolation_mode = "
                     "string(\"NEAREST_NEIGHBOR\"));"),
                ElementsAre(1, 1, 2, 2, 3, 3));
}

}  // namespace
}  // namespace pome::mil
