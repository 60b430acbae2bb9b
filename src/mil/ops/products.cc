#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

std::vector<Type> infer_matmul(const Arguments& in) {
    const Type &x = in.type("x"), &y = in.type("y");
    if (x.shape.rank() < 2 || y.shape.rank() < 2) {
        in.fail("x {} and y {} must have rank 2 or more", x.shape.text(), y.shape.text());
    }
    if (x.dtype != y.dtype) {
        in.fail("x is {} and y is {}; cast one", x.text(), y.text());
    }
    const bool tx = in.boolean("transpose_x"), ty = in.boolean("transpose_y");
    const std::int64_t inner_x = x.shape[tx ? -2 : -1], inner_y = y.shape[ty ? -1 : -2];
    if (inner_x != inner_y) {
        in.fail("x {} and y {}: inner sizes {} and {} differ", x.shape.text(), y.shape.text(),
                inner_x, inner_y);
    }
    const auto leading = [](const Shape& s) {
        return Shape(std::vector<std::int64_t>(s.begin(), s.end() - 2));
    };
    Shape batch;
    if (!broadcast(leading(x.shape), leading(y.shape), batch)) {
        in.fail("x {} and y {}: the leading axes do not broadcast", x.shape.text(), y.shape.text());
    }
    auto sizes = batch.sizes();
    sizes.push_back(x.shape[tx ? -1 : -2]);
    sizes.push_back(y.shape[ty ? -2 : -1]);
    return {Type::tensor(x.dtype, Shape(sizes))};
}

struct Window {
    Shape shape;                                           // of the result
    std::vector<std::int64_t> strides, dilations, before;  // one a spatial axis
};

/// Constant `name`, or `count` times `value` when it is absent.
std::vector<std::int64_t> spatial(const Arguments& in, std::string_view name, std::size_t count,
                                  std::int64_t value) {
    if (!in.has(name)) {
        return std::vector<std::int64_t>(count, value);
    }
    auto values = in.integers(name);
    if (values.size() != count) {
        in.fail("{} must have {} entries, it has {}", name, count, values.size());
    }
    return values;
}

Window conv_window(const Arguments& in, const Shape& x, const Shape& weight) {
    const auto axes = static_cast<std::size_t>(x.rank() - 2);
    Window window;
    window.strides = spatial(in, "strides", axes, 1);
    window.dilations = spatial(in, "dilations", axes, 1);
    const auto pad = spatial(in, "pad", 2 * axes, 0);
    const std::string& type = in.text("pad_type");
    if (type != "valid" && type != "same" && type != "same_lower" && type != "custom") {
        in.fail("pad_type '{}' is not valid, same, same_lower or custom", type);
    }
    std::vector<std::int64_t> sizes{x[0], weight[0]};
    for (std::size_t i = 0; i < axes; ++i) {
        const int axis = static_cast<int>(i) + 2;
        const std::int64_t stride = window.strides[i], dilation = window.dilations[i];
        if (stride < 1 || dilation < 1 || pad[2 * i] < 0 || pad[2 * i + 1] < 0) {
            in.fail("strides and dilations must be at least 1, pad at least 0");
        }
        const std::int64_t extent = (weight[axis] - 1) * dilation + 1;
        std::int64_t before = 0, out = 0;
        if (type == "same" || type == "same_lower") {
            out = (x[axis] + stride - 1) / stride;
            const std::int64_t total =
                std::max<std::int64_t>(0, (out - 1) * stride + extent - x[axis]);
            before = type == "same" ? total / 2 : total - total / 2;
        } else {
            const bool custom = type == "custom";
            before = custom ? pad[2 * i] : 0;
            const std::int64_t padded = x[axis] + before + (custom ? pad[2 * i + 1] : 0);
            if (padded < extent) {
                in.fail("the kernel spans {} positions of x {}, which has {} with padding", extent,
                        x.text(), padded);
            }
            out = (padded - extent) / stride + 1;
        }
        window.before.push_back(before);
        sizes.push_back(out);
    }
    window.shape = Shape(sizes);
    return window;
}

std::vector<Type> infer_conv(const Arguments& in) {
    const Type &x = in.type("x"), &weight = in.type("weight");
    if (x.shape.rank() < 3 || x.shape.rank() > 5 || weight.shape.rank() != x.shape.rank()) {
        in.fail("x {} and weight {} must have the same rank, from 3 to 5", x.shape.text(),
                weight.shape.text());
    }
    const std::int64_t groups = in.integer("groups");
    if (groups < 1 || x.shape[1] % groups != 0 || weight.shape[0] % groups != 0) {
        in.fail("input/output channels should be divisible by num group: {} and {} over {}",
                x.shape[1], weight.shape[0], groups);
    }
    if (weight.shape[1] != x.shape[1] / groups) {
        in.fail("KernelChannels ({}) != InputChannels ({}) / Group ({})", weight.shape[1],
                x.shape[1], groups);
    }
    if (in.has("bias") && in.type("bias").shape != Shape{weight.shape[0]}) {
        in.fail("bias {} must be [{}]", in.type("bias").shape.text(), weight.shape[0]);
    }
    return {Type::tensor(x.dtype, conv_window(in, x.shape, weight.shape).shape)};
}

/// A one-dimensional convolution is a two-dimensional one of height 1.
Shape with_height(const Shape& shape) {
    return shape.rank() == 3 ? Shape{shape[0], shape[1], 1, shape[2]} : shape;
}

std::vector<reference::Tensor> evaluate_conv(const Arguments& in) {
    const auto& x = in.tensor("x");
    const auto& weight = in.tensor("weight");
    if (x.shape.rank() == 5) {
        fail(Code::unsupported, "mil.conv", "three-dimensional convolutions are not interpreted {}",
             where(in.operation()));
    }
    const Window window = conv_window(in, x.shape, weight.shape);
    reference::ConvForm form;
    const bool flat = x.shape.rank() == 3;
    form.strides = {flat ? 1 : window.strides[0], window.strides.back()};
    form.dilations = {flat ? 1 : window.dilations[0], window.dilations.back()};
    form.groups = in.integer("groups");
    form.pad_top = flat ? 0 : window.before[0];
    form.pad_left = window.before.back();
    const reference::Tensor* bias = in.has("bias") ? &in.tensor("bias") : nullptr;
    reference::Tensor y =
        reference::conv({with_height(x.shape), x.data}, {with_height(weight.shape), weight.data},
                        bias, form, with_height(window.shape));
    y.shape = window.shape;
    return {std::move(y)};
}

std::vector<Type> infer_linear(const Arguments& in) {
    const Type &x = in.type("x"), &weight = in.type("weight");
    if (weight.shape.rank() != 2 || x.shape.rank() < 1 || x.shape[-1] != weight.shape[1]) {
        in.fail("x {} and weight {}: the last sizes must agree", x.shape.text(),
                weight.shape.text());
    }
    auto sizes = x.shape.sizes();
    sizes.back() = weight.shape[0];
    if (in.has("bias") && in.type("bias").shape != Shape{weight.shape[0]}) {
        in.fail("bias {} must be [{}]", in.type("bias").shape.text(), weight.shape[0]);
    }
    return {Type::tensor(x.dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_linear(const Arguments& in) {
    const auto& x = in.tensor("x");
    const std::int64_t inner = x.shape[-1];
    const reference::Tensor rows(Shape{x.size() / std::max<std::int64_t>(1, inner), inner}, x.data);
    reference::Tensor y = reference::matmul(rows, in.tensor("weight"), false, true);
    if (in.has("bias")) {
        y = reference::binary(y, in.tensor("bias"), [](double a, double b) { return a + b; });
    }
    y.shape = infer_linear(in).front().shape;
    return {std::move(y)};
}

}  // namespace

std::vector<Schema> products() {
    const Literal ones = Literal::integers({1, 1});
    return {
        {"conv",
         "y[n,o] = bias[o] + sum over c, kh, kw of weight[o,c,kh,kw] * x[n,c,..]; grouped, "
         "strided, dilated, padded",
         {tensor("x", floats), tensor("weight", floats), optional_tensor("bias", floats),
          constant("strides", ones), constant("pad_type", Literal::text("valid")),
          constant("pad", Literal::integers({0, 0, 0, 0})), constant("dilations", ones),
          constant("groups", Literal::integer(1))},
         infer_conv,
         evaluate_conv},
        {"linear",
         "y[.., n] = bias[n] + sum_k x[.., k] * weight[n, k]",
         {tensor("x", floats), tensor("weight", floats), optional_tensor("bias", floats)},
         infer_linear,
         evaluate_linear},
        {"matmul",
         "y[.., m, n] = sum_k x[.., m, k] * y[.., k, n]; leading axes broadcast",
         {tensor("x", numbers), tensor("y", numbers),
          constant("transpose_x", Literal::boolean(false)),
          constant("transpose_y", Literal::boolean(false))},
         infer_matmul,
         [](const Arguments& in) {
             return std::vector{reference::matmul(in.tensor("x"), in.tensor("y"),
                                                  in.boolean("transpose_x"),
                                                  in.boolean("transpose_y"))};
         }},
    };
}

}  // namespace pome::mil::ops
