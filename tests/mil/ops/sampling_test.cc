#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

// Values as coremltools' own tests of these ops have them.

const std::string square = "tensor<fp32, [1, 1, 2, 2]>";
const std::vector<double> pixels{11, 22, 33, 44};

std::vector<double> resampled(const std::string& sampling, const std::string& padding,
                              const std::string& value, const std::string& coordinates,
                              const std::string& align) {
    return y_of(square, pixels,
                "tensor<fp32, [1, 1, 2, 2]> y = resample(x = x, coordinates = tensor<fp32, [1, 2, "
                "2, 2]>([-1, -2, -3.7, -1, 0, 0, 3.5, 1.2]), sampling_mode = string(\"" +
                    sampling + "\"), padding_mode = string(\"" + padding +
                    "\"), padding_value = fp32(" + value + "), coordinates_mode = string(\"" +
                    coordinates + "\"), align_corners = bool(" + align + "));");
}

TEST(Sampling, ResampleBeyondTheImage) {
    const auto near = [](std::vector<double> values) {
        return Pointwise(DoubleNear(1e-5), std::move(values));
    };
    EXPECT_THAT(resampled("bilinear", "constant", "6.17", "normalized_minus_one_to_one", "true"),
                near({8.585, 6.17, 27.5, 6.17}));
    EXPECT_THAT(resampled("nearest", "border", "-1", "unnormalized", "false"),
                near({11, 11, 11, 44}));
    EXPECT_THAT(resampled("bilinear", "reflection", "-1", "normalized_zero_to_one", "true"),
                near({22, 36.3, 11, 34.1}));
    EXPECT_THAT(resampled("nearest", "symmetric", "-1", "normalized_zero_to_one", "false"),
                near({22, 33, 11, 33}));
}

TEST(Sampling, CoordinatesThatAreNoNumbersAreBeyondTheImage) {
    const auto at = [](const std::string& coordinate, const std::string& padding) {
        return y_of(square, pixels,
                    "tensor<fp32, [1, 1, 1, 1]> y = resample(x = x, coordinates = tensor<fp32, [1, "
                    "1, 1, 2]>([" +
                        coordinate +
                        ", 0]), sampling_mode = string(\"bilinear\"), padding_mode = "
                        "string(\"" +
                        padding +
                        "\"), padding_value = fp32(5), coordinates_mode = "
                        "string(\"unnormalized\"), align_corners = bool(true));")
            .front();
    };
    for (const char* coordinate : {"nan", "inf", "-inf", "3e38", "-3e38"}) {
        EXPECT_EQ(at(coordinate, "constant"), 5.0) << coordinate;
        for (const char* padding : {"border", "reflection", "symmetric"}) {
            EXPECT_THAT(at(coordinate, padding), testing::AnyOf(11.0, 22.0, 16.5)) << coordinate;
        }
    }
}

TEST(Sampling, Affine) {
    const auto y = [](int height, int width) {
        return y_of(square, pixels,
                    fmt::format("tensor<fp32, [1, 1, {0}, {1}]> y = affine(x = x, transform_matrix "
                                "= tensor<fp32, [1, 6]>([-1, -2, -3.7, -1, 3.5, 1.2]), "
                                "output_height = int32({0}), output_width = int32({1}), "
                                "sampling_mode = string(\"bilinear\"), padding_mode = "
                                "string(\"constant\"), padding_value = fp32(0), coordinates_mode = "
                                "string(\"normalized_minus_one_to_one\"), align_corners = "
                                "bool(true));",
                                height, width));
    };
    EXPECT_THAT(y(3, 3),
                Pointwise(DoubleNear(1e-5), {10.7525, 2.5025, 0.0, 1.98, 0.0, 0.0, 0.0, 0.0, 0.0}));
    EXPECT_THAT(y(2, 5), Pointwise(DoubleNear(1e-5),
                                   {10.7525, 5.94, 2.5025, 0.44, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}));
}

const std::string grid = "tensor<fp32, [1, 1, 4, 4]>";
const std::vector<double> numbers{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

std::vector<double> cropped(const std::string& box, int size, const std::string& more = "") {
    return y_of(grid, numbers,
                fmt::format("tensor<fp32, [1, 1, {0}, {0}]> y = crop_resize(x = x, boxes = "
                            "tensor<fp32, [1, 4]>([{1}]), target_height = int32({0}), target_width "
                            "= int32({0}), sampling_mode = string(\"ALIGN_CORNERS\"){2});",
                            size, box, more));
}

TEST(Sampling, CropResize) {
    EXPECT_THAT(cropped("1, 1, 2, 2", 2), ElementsAre(6, 7, 10, 11));
    EXPECT_THAT(cropped("1, 1, 2, 2", 4),
                Pointwise(DoubleNear(1e-5),
                          {6.0, 6.333333, 6.666667, 7.0, 7.333333, 7.666667, 8.0, 8.333333,
                           8.666667, 9.0, 9.333333, 9.666667, 10.0, 10.333333, 10.666667, 11.0}));
    EXPECT_THAT(cropped("1, 1, 2, 2", 1), ElementsAre(8.5));
    EXPECT_THAT(cropped("2, 2, 1, 1", 2), ElementsAre(11, 10, 7, 6));
    EXPECT_THAT(cropped("0, 0, 0.33333334, 0.33333334", 2, ", normalized_coordinates = bool(true)"),
                Pointwise(DoubleNear(1e-5), {1.0, 2.0, 5.0, 6.0}));
}

TEST(Sampling, CropResizeOfBoxesInEveryFormAndBeyondTheImage) {
    // Rows 0 to 1, columns 2 to 3.
    const std::vector<double> corner{3, 4, 7, 8};
    EXPECT_EQ(cropped("0, 2, 1, 3", 2), corner);
    EXPECT_EQ(cropped("2, 0, 3, 1", 2, ", box_coordinate_mode = string(\"CORNERS_WIDTH_FIRST\")"),
              corner);
    EXPECT_EQ(cropped("0.5, 2.5, 1, 1", 2,
                      ", box_coordinate_mode = string(\"CENTER_SIZE_HEIGHT_FIRST\")"),
              corner);
    EXPECT_EQ(
        cropped("2.5, 0.5, 1, 1", 2, ", box_coordinate_mode = string(\"CENTER_SIZE_WIDTH_FIRST\")"),
        corner);
    EXPECT_EQ(cropped("0, 4, 2, 6", 2, ", spatial_scale = fp32(0.5)"), corner);
    EXPECT_THAT(cropped("3, 3, 4, 4", 2, ", pad_value = fp32(-1)"), ElementsAre(16, -1, -1, -1));
    EXPECT_THAT(cropped("nan, 0, 1, 1", 2, ", pad_value = fp32(-1)"), ElementsAre(-1, -1, -1, -1));
}

TEST(Sampling, TheIndexPicksTheImage) {
    EXPECT_THAT(y_of("tensor<fp32, [2, 1, 1, 2]>", {1, 2, 3, 4},
                     "tensor<fp32, [3, 1, 1, 2]> y = crop_resize(x = x, boxes = tensor<fp32, [3, "
                     "4]>([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]), box_indices = tensor<int32, "
                     "[3]>([1, 0, 1]), target_width = int32(2), sampling_mode = "
                     "string(\"ALIGN_CORNERS\"));"),
                ElementsAre(3, 4, 1, 2, 3, 4));
}

TEST(Sampling, BrokenOnesAreRefused) {
    const auto error = [](const std::string& statement) {
        return refusal_of(square + " x", statement);
    };
    const std::string how =
        ", sampling_mode = string(\"bilinear\"), padding_mode = string(\"constant\"), "
        "padding_value = fp32(0), coordinates_mode = string(\"normalized_minus_one_to_one\"), "
        "align_corners = bool(true));";
    const std::string y = "tensor<fp32, [1, 1, 1, 1]> y = ";
    EXPECT_NE(error(y + "resample(x = x, coordinates = tensor<fp32, [1, 1, 1, 3]>([0, 0, 0])" + how)
                  .find("coordinates [1,1,1,3] are not [1, height, width, 2]"),
              std::string::npos);
    EXPECT_NE(error(y +
                    "affine(x = x, transform_matrix = tensor<fp32, [1, 5]>([0, 0, 0, 0, 0]), "
                    "output_height = int32(1), output_width = int32(1)" +
                    how)
                  .find("transform_matrix [1,5] is not [1, 6] or [1, 6]"),
              std::string::npos);
    EXPECT_NE(error(y +
                    "affine(x = x, transform_matrix = tensor<fp32, [1, 6]>([0, 0, 0, 0, 0, "
                    "0]), output_height = int32(0), output_width = int32(1)" +
                    how)
                  .find("height 0 and width 1 must be between 1 and 65536"),
              std::string::npos);
    EXPECT_NE(error(y + "crop_resize(x = x, boxes = tensor<fp32, [2, 4]>([0, 0, 0, 0, 0, 0, 0, "
                        "0]));")
                  .find("2 boxes of 1 images need box_indices"),
              std::string::npos);
    EXPECT_NE(
        error(y + "crop_resize(x = x, boxes = tensor<fp32, [1, 4]>([0, 0, 0, 0]), "
                  "sampling_mode = string(\"CUBIC\"));")
            .find("sampling_mode 'CUBIC' is not STRICT_ALIGN_CORNERS, ALIGN_CORNERS, DEFAULT, "
                  "OFFSET_CORNERS or UNALIGN_CORNERS"),
        std::string::npos);
}

}  // namespace
}  // namespace pome::mil
