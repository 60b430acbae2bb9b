#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

const std::vector<DType> quantized{DType::int8, DType::uint8};

/// Scale and zero point have one element, or one for each index along axis. Gives that axis, 0 when
/// there is none.
int scale_axis(const Arguments& in, const Shape& x) {
    const int at = in.has("axis") ? axis(in, in.integer("axis"), x) : 0;
    for (const std::string_view name : {"scale", "zero_point"}) {
        if (!in.has(name) || in.type(name).shape.rank() == 0) {
            continue;
        }
        const Shape& shape = in.type(name).shape;
        if (!in.has("axis")) {
            in.fail("{} {} is no scalar, so 'axis' must be given", name, shape.text());
        }
        if (shape != Shape{x[at]}) {
            in.fail("{} {} must be [{}], the size of axis {} of {}", name, shape.text(), x[at], at,
                    x.text());
        }
    }
    return at;
}

/// The range of an integer type.
double lowest(DType dtype) {
    return dtype == DType::int8 ? -128.0 : 0.0;
}
double highest(DType dtype) {
    return dtype == DType::int8 ? 127.0 : 255.0;
}

std::vector<Type> infer_quantize(const Arguments& in) {
    const auto dtype = dtype_from_name(in.text("output_dtype"));
    if (dtype != DType::int8 && dtype != DType::uint8) {
        in.fail("output_dtype '{}' is not int8 or uint8", in.text("output_dtype"));
    }
    scale_axis(in, in.type("input").shape);
    return {Type::tensor(*dtype, in.type("input").shape)};
}

std::vector<reference::Tensor> evaluate_quantize(const Arguments& in) {
    const DType dtype = infer_quantize(in).front().dtype;
    return {reference::quantize(in.tensor("input"), in.tensor("scale"), optional(in, "zero_point"),
                                scale_axis(in, in.type("input").shape), lowest(dtype),
                                highest(dtype))};
}

template <const char* const& input>
std::vector<Type> infer_dequantize(const Arguments& in) {
    scale_axis(in, in.type(input).shape);
    return {Type::tensor(in.type("scale").dtype, in.type(input).shape)};
}

template <const char* const& input>
std::vector<reference::Tensor> evaluate_dequantize(const Arguments& in) {
    return {reference::dequantize(in.tensor(input), in.tensor("scale"), optional(in, "zero_point"),
                                  scale_axis(in, in.type(input).shape))};
}

constexpr const char* plain_input = "input";
constexpr const char* constant_input = "quantized_data";

std::vector<Type> infer_blockwise(const Arguments& in) {
    const Shape &data = in.type("data").shape, &scale = in.type("scale").shape;
    bool fits = data.rank() == scale.rank();
    for (int i = 0; fits && i < data.rank(); ++i) {
        fits = scale[i] > 0 && data[i] % scale[i] == 0;
    }
    if (!fits) {
        in.fail("data {} and scale {}: each size of scale must divide data's", data.text(),
                scale.text());
    }
    expect_shape(in, "offset", scale);
    return {Type::tensor(in.type("scale").dtype, data)};
}

std::vector<reference::Tensor> evaluate_blockwise(const Arguments& in) {
    return {reference::blockwise_shift_scale(in.tensor("data"), in.tensor("scale"),
                                             optional(in, "offset"))};
}

}  // namespace

std::vector<Schema> quantization() {
    return {
        {"quantize",
         "round(input / scale) + zero_point, halves to even, clamped to the output's range",
         {tensor("input", floats), tensor("scale", floats),
          optional_tensor("zero_point", quantized), optional_constant("axis"),
          constant("output_dtype")},
         infer_quantize,
         evaluate_quantize},
        {"dequantize",
         "scale * (input - zero_point)",
         {tensor("input", quantized), tensor("scale", floats),
          optional_tensor("zero_point", quantized), optional_constant("axis")},
         infer_dequantize<plain_input>,
         evaluate_dequantize<plain_input>},
        {"constexpr_affine_dequantize",
         "scale * (quantized_data - zero_point), once, when the program is compiled",
         {tensor("quantized_data", quantized), tensor("scale", floats),
          optional_tensor("zero_point", quantized), optional_constant("axis")},
         infer_dequantize<constant_input>,
         evaluate_dequantize<constant_input>},
        {"constexpr_blockwise_shift_scale",
         "scale * (data - offset), one scale and offset for each block of data",
         {tensor("data"), tensor("scale", floats), optional_tensor("offset")},
         infer_blockwise,
         evaluate_blockwise},
    };
}

}  // namespace pome::mil::ops
