#include "mil/sampling.h"

#include <array>

#include "mil/ops/families.h"

namespace pome::mil {
namespace {

using reference::Border;
using reference::Coordinates;
using reference::Sampling;

/// The value of the word that text argument `name` is; fails with the list of words.
template <typename Value, std::size_t count>
Value one_of(const Arguments& in, std::string_view name,
             const std::array<std::pair<std::string_view, Value>, count>& words) {
    const std::string& given = in.text(name);
    std::string list;
    for (std::size_t i = 0; i < count; ++i) {
        if (given == words[i].first) {
            return words[i].second;
        }
        list += fmt::format("{}{}", i == 0 ? "" : i + 1 == count ? " or " : ", ", words[i].first);
    }
    in.fail("{} '{}' is not {}", name, given, list);
}

constexpr std::array<std::pair<std::string_view, Sampling>, 5> sampling_modes{
    {{"STRICT_ALIGN_CORNERS", Sampling::strict_align_corners},
     {"ALIGN_CORNERS", Sampling::align_corners},
     {"DEFAULT", Sampling::plain},
     {"OFFSET_CORNERS", Sampling::offset_corners},
     {"UNALIGN_CORNERS", Sampling::unalign_corners}}};

}  // namespace

Sampling sampling_mode(const Arguments& in) {
    return one_of(in, "sampling_mode", sampling_modes);
}

reference::ResampleRules resample_rules(const Arguments& in) {
    return {{one_of(in, "sampling_mode",
                    std::array<std::pair<std::string_view, bool>, 2>{
                        {{"bilinear", false}, {"nearest", true}}}),
             one_of(in, "padding_mode",
                    std::array<std::pair<std::string_view, Border>, 4>{
                        {{"constant", Border::value},
                         {"border", Border::edge},
                         {"reflection", Border::reflection},
                         {"symmetric", Border::symmetric}}}),
             in.number("padding_value")},
            one_of(in, "coordinates_mode",
                   std::array<std::pair<std::string_view, Coordinates>, 3>{
                       {{"unnormalized", Coordinates::pixels},
                        {"normalized_minus_one_to_one", Coordinates::minus_one_to_one},
                        {"normalized_zero_to_one", Coordinates::zero_to_one}}}),
            in.boolean("align_corners")};
}

reference::Sampler affine_sampler(const Arguments& in) {
    const auto expect = [&](std::string_view name, std::string_view wanted) {
        if (in.text(name) != wanted) {
            in.fail("{} '{}' is not {}, the only one of affine", name, in.text(name), wanted);
        }
    };
    expect("sampling_mode", "bilinear");
    expect("padding_mode", "constant");
    expect("coordinates_mode", "normalized_minus_one_to_one");
    if (in.number("padding_value") != 0.0 || !in.boolean("align_corners")) {
        in.fail("affine pads with 0 and aligns corners; resample has other ways");
    }
    return {};
}

reference::CropRules crop_rules(const Arguments& in) {
    struct Form {
        bool centers, width_first;
    };
    const Form form = one_of(in, "box_coordinate_mode",
                             std::array<std::pair<std::string_view, Form>, 4>{
                                 {{"CORNERS_HEIGHT_FIRST", {false, false}},
                                  {"CORNERS_WIDTH_FIRST", {false, true}},
                                  {"CENTER_SIZE_HEIGHT_FIRST", {true, false}},
                                  {"CENTER_SIZE_WIDTH_FIRST", {true, true}}}});
    return {.height = in.integer("target_height"),
            .width = in.integer("target_width"),
            .are_normalized = in.boolean("normalized_coordinates"),
            .width_first = form.width_first,
            .centers = form.centers,
            .scale = in.number("spatial_scale"),
            .sampling = sampling_mode(in),
            .beyond = in.number("pad_value")};
}

reference::Tensor default_box_indices(const Arguments& in) {
    reference::Tensor indices({in.type("boxes").shape[0]});
    for (std::size_t i = 0; i < indices.data.size(); ++i) {
        indices.data[i] = static_cast<double>(i);
    }
    return indices;
}

namespace ops {
namespace {

constexpr std::int64_t most = 65536;

/// x's type with other images, of which there are `number`.
std::vector<Type> images(const Arguments& in, std::int64_t number, std::int64_t height,
                         std::int64_t width) {
    const Type& x = in.type("x");
    if (height < 1 || width < 1 || height > most || width > most) {
        in.fail("height {} and width {} must be between 1 and {}", height, width, most);
    }
    return {Type::tensor(x.dtype, {number, x.shape[1], height, width})};
}

void expect_images(const Arguments& in) {
    const Shape& x = in.type("x").shape;
    if (x.rank() != 4 || x.elements() < 1) {
        in.fail("x {} is not [B, C, H, W]", x.text());
    }
}

std::vector<Type> infer_resample(const Arguments& in) {
    expect_images(in);
    const Shape &x = in.type("x").shape, &at = in.type("coordinates").shape;
    if (at.rank() != 4 || at[0] != x[0] || at[3] != 2) {
        in.fail("coordinates {} are not [{}, height, width, 2]", at.text(), x[0]);
    }
    resample_rules(in);
    return images(in, x[0], at[1], at[2]);
}

std::vector<reference::Tensor> evaluate_resample(const Arguments& in) {
    return {reference::resample(in.tensor("x"), in.tensor("coordinates"), resample_rules(in))};
}

std::vector<Type> infer_affine(const Arguments& in) {
    expect_images(in);
    const Shape &x = in.type("x").shape, &matrix = in.type("transform_matrix").shape;
    if (matrix.rank() != 2 || matrix[1] != 6 || (matrix[0] != 1 && matrix[0] != x[0])) {
        in.fail("transform_matrix {} is not [{}, 6] or [1, 6]", matrix.text(), x[0]);
    }
    affine_sampler(in);
    return images(in, x[0], in.integer("output_height"), in.integer("output_width"));
}

std::vector<reference::Tensor> evaluate_affine(const Arguments& in) {
    return {reference::affine(in.tensor("x"), in.tensor("transform_matrix"),
                              in.integer("output_height"), in.integer("output_width"),
                              affine_sampler(in))};
}

std::vector<Type> infer_crop_resize(const Arguments& in) {
    expect_images(in);
    const Shape &x = in.type("x").shape, &boxes = in.type("boxes").shape;
    if (boxes.rank() != 2 || boxes[1] != 4 || boxes[0] < 1) {
        in.fail("boxes {} are not [N, 4]", boxes.text());
    }
    if (in.has("box_indices")) {
        expect_shape(in, "box_indices", {boxes[0]});
    } else if (boxes[0] > x[0]) {
        in.fail("{} boxes of {} images need box_indices", boxes[0], x[0]);
    }
    const reference::CropRules rules = crop_rules(in);
    return images(in, boxes[0], rules.height, rules.width);
}

std::vector<reference::Tensor> evaluate_crop_resize(const Arguments& in) {
    const reference::Tensor* indices = optional(in, "box_indices");
    return {reference::crop_resize(in.tensor("x"), in.tensor("boxes"),
                                   indices != nullptr ? *indices : default_box_indices(in),
                                   crop_rules(in))};
}

}  // namespace

std::vector<Schema> sampling() {
    const Parameter x = tensor("x", floats);
    const std::vector<Parameter> how{constant("sampling_mode"), constant("padding_mode"),
                                     constant("padding_value"), constant("coordinates_mode"),
                                     constant("align_corners")};
    std::vector<Parameter> of_resample{x, tensor("coordinates", numbers)},
        of_affine{x, tensor("transform_matrix", floats), constant("output_height"),
                  constant("output_width")};
    of_resample.insert(of_resample.end(), how.begin(), how.end());
    of_affine.insert(of_affine.end(), how.begin(), how.end());
    return {
        {"resample", "x at the coordinates (horizontal, vertical), nearest or linear", of_resample,
         infer_resample, evaluate_resample},
        {"affine", "x at (a0 h + a1 v + a2, b0 h + b1 v + b2), h and v from -1 to 1; 0 beyond",
         of_affine, infer_affine, evaluate_affine},
        {"crop_resize",
         "boxes out of images, each at the target size, linear between four neighbours",
         {x, tensor("boxes", {DType::fp16, DType::fp32, DType::uint16}),
          optional_tensor("box_indices", {DType::uint16, DType::int32}),
          constant("target_height", Literal::integer(1)),
          constant("target_width", Literal::integer(1)),
          constant("normalized_coordinates", Literal::boolean(false)),
          constant("spatial_scale", Literal::number(DType::fp32, 1.0)),
          constant("box_coordinate_mode", Literal::text("CORNERS_HEIGHT_FIRST")),
          constant("sampling_mode", Literal::text("DEFAULT")),
          constant("pad_value", Literal::number(DType::fp32, 0.0))},
         infer_crop_resize,
         evaluate_crop_resize},
    };
}

}  // namespace ops
}  // namespace pome::mil
