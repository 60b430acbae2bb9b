#include <algorithm>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

/// Constant `name`, or `count` times `value` when it is absent.
std::vector<std::int64_t> spatial(const Arguments& in, std::string_view name, std::size_t count,
                                  std::int64_t value, std::int64_t least) {
    if (!in.has(name)) {
        return std::vector<std::int64_t>(count, value);
    }
    auto values = in.integers(name);
    if (values.size() != count) {
        in.fail("{} must have {} entries, it has {}", name, count, values.size());
    }
    for (const std::int64_t one : values) {
        if (one < least) {
            in.fail("{} must be at least {}, it has {}", name, least, one);
        }
    }
    return values;
}

const std::string& pad_type(const Arguments& in) {
    const std::string& type = in.text("pad_type");
    if (type != "valid" && type != "same" && type != "same_lower" && type != "custom") {
        in.fail("pad_type '{}' is not valid, same, same_lower or custom", type);
    }
    return type;
}

/// `total` padding on both sides; same puts the odd one after, same_lower before.
void share(reference::Window& window, std::size_t axis, std::int64_t total, bool lower) {
    window.before[axis] = lower ? total - total / 2 : total / 2;
    window.after[axis] = total - window.before[axis];
}

/// strides, dilations and custom padding as they are given.
reference::Window given_window(const Arguments& in, std::size_t axes, bool dilated) {
    reference::Window window;
    window.strides = spatial(in, "strides", axes, 1, 1);
    window.dilations =
        dilated ? spatial(in, "dilations", axes, 1, 1) : std::vector<std::int64_t>(axes, 1);
    const auto pad = spatial(in, "pad", 2 * axes, 0, 0);
    const bool custom = pad_type(in) == "custom";
    for (std::size_t i = 0; i < axes; ++i) {
        window.before.push_back(custom ? pad[2 * i] : 0);
        window.after.push_back(custom ? pad[2 * i + 1] : 0);
    }
    return window;
}

/// How a kernel moves over x, and the spatial sizes of what it gives.
struct Placed {
    reference::Window window;
    std::vector<std::int64_t> sizes;
};

Placed place(const Arguments& in, const Shape& x, const std::vector<std::int64_t>& kernel,
             bool dilated, bool ceil_mode) {
    Placed placed{given_window(in, kernel.size(), dilated), {}};
    reference::Window& window = placed.window;
    const std::string& type = pad_type(in);
    for (std::size_t i = 0; i < kernel.size(); ++i) {
        const std::int64_t size = x[static_cast<int>(i) + 2], stride = window.strides[i];
        if (kernel[i] < 1) {
            in.fail("the kernel must span at least 1 position, axis {} has {}", i + 2, kernel[i]);
        }
        const std::int64_t extent = (kernel[i] - 1) * window.dilations[i] + 1;
        if (type == "same" || type == "same_lower") {
            const std::int64_t count = (size + stride - 1) / stride;
            share(window, i, std::max<std::int64_t>(0, (count - 1) * stride + extent - size),
                  type == "same_lower");
            placed.sizes.push_back(count);
            continue;
        }
        const std::int64_t padded = size + window.before[i] + window.after[i];
        if (padded < extent) {
            in.fail("the kernel spans {} positions of x {}, which has {} with padding", extent,
                    x.text(), padded);
        }
        std::int64_t count = (padded - extent) / stride + 1;
        // A window of ceil mode may hang over the end, but must begin before the padding that
        // follows x.
        if (ceil_mode && (padded - extent) % stride != 0 &&
            count * stride < size + window.before[i]) {
            ++count;
        }
        placed.sizes.push_back(count);
    }
    return placed;
}

void expect_rank(const Arguments& in, const Shape& x) {
    if (x.rank() < 3 || x.rank() > 5) {
        in.fail("x {} must have rank 3, 4 or 5", x.text());
    }
}

/// Checks x and weight and gives the kernel's spatial sizes.
std::vector<std::int64_t> kernel_of(const Arguments& in, const Shape& x, const Shape& weight) {
    expect_rank(in, x);
    if (weight.rank() != x.rank()) {
        in.fail("x {} and weight {} must have one rank", x.text(), weight.text());
    }
    return {weight.begin() + 2, weight.end()};
}

Shape joined(std::int64_t batch, std::int64_t channels,
             const std::vector<std::int64_t>& spatial_sizes) {
    std::vector<std::int64_t> sizes{batch, channels};
    sizes.insert(sizes.end(), spatial_sizes.begin(), spatial_sizes.end());
    return Shape(sizes);
}

Placed place_conv(const Arguments& in) {
    const Shape &x = in.type("x").shape, &weight = in.type("weight").shape;
    return place(in, x, kernel_of(in, x, weight), true, false);
}

std::vector<Type> infer_conv(const Arguments& in) {
    const Type &x = in.type("x"), &weight = in.type("weight");
    const Placed placed = place_conv(in);
    const std::int64_t groups = in.integer("groups"), channels = x.shape[1],
                       outputs = weight.shape[0];
    if (groups < 1 || channels % groups != 0 || outputs % groups != 0) {
        in.fail("x {} and weight {}: {} input and {} output channels do not divide into {} groups",
                x.shape.text(), weight.shape.text(), channels, outputs, groups);
    }
    if (weight.shape[1] != channels / groups) {
        in.fail(
            "x {} and weight {}: the weight takes {} channels, {} channels in {} groups have {}",
            x.shape.text(), weight.shape.text(), weight.shape[1], channels, groups,
            channels / groups);
    }
    expect_shape(in, "bias", {outputs});
    return {Type::tensor(x.dtype, joined(x.shape[0], outputs, placed.sizes))};
}

std::vector<reference::Tensor> evaluate_conv(const Arguments& in) {
    return {reference::conv(in.tensor("x"), in.tensor("weight"), optional(in, "bias"),
                            place_conv(in).window, in.integer("groups"),
                            infer_conv(in).front().shape)};
}

/// Where conv_transpose puts the kernel: padding is cut off the result, which has `output_shape`
/// when that is given.
Placed place_conv_transpose(const Arguments& in) {
    const Shape &x = in.type("x").shape, &weight = in.type("weight").shape;
    const auto kernel = kernel_of(in, x, weight);
    Placed placed{given_window(in, kernel.size(), true), {}};
    reference::Window& window = placed.window;
    const std::string& type = pad_type(in);
    const bool same = type == "same" || type == "same_lower";
    const auto wanted =
        in.has("output_shape") ? in.integers("output_shape") : std::vector<std::int64_t>{};
    if (!wanted.empty() && static_cast<int>(wanted.size()) != x.rank()) {
        in.fail("output_shape must have {} entries, it has {}", x.rank(), wanted.size());
    }
    for (std::size_t i = 0; i < kernel.size(); ++i) {
        if (kernel[i] < 1) {
            in.fail("the kernel must span at least 1 position, axis {} has {}", i + 2, kernel[i]);
        }
        const std::int64_t size = x[static_cast<int>(i) + 2], stride = window.strides[i];
        const std::int64_t full = (size - 1) * stride + (kernel[i] - 1) * window.dilations[i] + 1;
        std::int64_t count = same ? size * stride : full - window.before[i] - window.after[i];
        if (!wanted.empty()) {
            count = wanted[i + 2];
        }
        if (count < 1) {
            in.fail("x {} leaves {} positions on axis {}", x.text(), count, i + 2);
        }
        if (same) {
            share(window, i, std::max<std::int64_t>(0, full - count), type == "same_lower");
        }
        placed.sizes.push_back(count);
    }
    return placed;
}

std::vector<Type> infer_conv_transpose(const Arguments& in) {
    const Type &x = in.type("x"), &weight = in.type("weight");
    const Placed placed = place_conv_transpose(in);
    const std::int64_t groups = in.integer("groups"), channels = x.shape[1];
    if (weight.shape[0] != channels) {
        in.fail("x {} and weight {}: the weight takes {} channels, x has {}", x.shape.text(),
                weight.shape.text(), weight.shape[0], channels);
    }
    if (groups < 1 || channels % groups != 0) {
        in.fail("{} input channels do not divide into {} groups", channels, groups);
    }
    const std::int64_t outputs = weight.shape[1] * groups;
    expect_shape(in, "bias", {outputs});
    return {Type::tensor(x.dtype, joined(x.shape[0], outputs, placed.sizes))};
}

std::vector<reference::Tensor> evaluate_conv_transpose(const Arguments& in) {
    return {reference::conv_transpose(in.tensor("x"), in.tensor("weight"), optional(in, "bias"),
                                      place_conv_transpose(in).window, in.integer("groups"),
                                      infer_conv_transpose(in).front().shape)};
}

Placed place_pool(const Arguments& in) {
    const Shape& x = in.type("x").shape;
    expect_rank(in, x);
    const auto kernel = in.integers("kernel_sizes");
    if (static_cast<int>(kernel.size()) != x.rank() - 2) {
        in.fail("kernel_sizes must have {} entries for x {}, it has {}", x.rank() - 2, x.text(),
                kernel.size());
    }
    const Placed placed = place(in, x, kernel, false, in.boolean("ceil_mode"));
    for (std::size_t i = 0; i < kernel.size(); ++i) {  // else a window could hold padding alone
        if (placed.window.before[i] >= kernel[i] || placed.window.after[i] >= kernel[i]) {
            in.fail("padding of axis {} must be less than the kernel's {} positions", i + 2,
                    kernel[i]);
        }
    }
    return placed;
}

std::vector<Type> infer_pool(const Arguments& in) {
    const Type& x = in.type("x");
    const Placed placed = place_pool(in);
    return {Type::tensor(x.dtype, joined(x.shape[0], x.shape[1], placed.sizes))};
}

std::vector<reference::Tensor> evaluate_max_pool(const Arguments& in) {
    return {reference::max_pool(in.tensor("x"), in.integers("kernel_sizes"), place_pool(in).window,
                                infer_pool(in).front().shape)};
}

std::vector<reference::Tensor> evaluate_l2_pool(const Arguments& in) {
    return {reference::l2_pool(in.tensor("x"), in.integers("kernel_sizes"), place_pool(in).window,
                               infer_pool(in).front().shape)};
}

std::vector<reference::Tensor> evaluate_avg_pool(const Arguments& in) {
    return {reference::avg_pool(in.tensor("x"), in.integers("kernel_sizes"), place_pool(in).window,
                                in.boolean("exclude_padding_from_average"),
                                infer_pool(in).front().shape)};
}

std::vector<Parameter> conv_parameters() {
    return {tensor("x", floats),
            tensor("weight", floats),
            optional_tensor("bias", floats),
            optional_constant("strides"),
            constant("pad_type", Literal::text("valid")),
            optional_constant("pad"),
            optional_constant("dilations"),
            constant("groups", Literal::integer(1))};
}

std::vector<Parameter> pool_parameters() {
    return {tensor("x", floats),          constant("kernel_sizes"),
            optional_constant("strides"), constant("pad_type"),
            optional_constant("pad"),     constant("ceil_mode", Literal::boolean(false))};
}

}  // namespace

std::vector<Schema> windows() {
    auto transposed = conv_parameters(), averaged = pool_parameters();
    transposed.push_back(optional_constant("output_shape"));
    averaged.push_back(constant("exclude_padding_from_average", Literal::boolean(false)));
    return {
        {"conv",
         "y[n,o] = bias[o] + sum over c, kh, kw of weight[o,c,kh,kw] * x[n,c,..]; grouped, "
         "strided, dilated, padded",
         conv_parameters(), infer_conv, evaluate_conv},
        {"conv_transpose",
         "the transpose of conv: each x[n,c,..] adds weight[c,o,kh,kw] times itself to y[n,o,..]",
         transposed, infer_conv_transpose, evaluate_conv_transpose},
        {"max_pool", "the largest x of each window; padding does not count", pool_parameters(),
         infer_pool, evaluate_max_pool},
        {"avg_pool", "the mean of each window; padding counts as 0 unless excluded", averaged,
         infer_pool, evaluate_avg_pool},
        {"l2_pool", "the square root of the sum of squares of each window; padding counts as 0",
         pool_parameters(), infer_pool, evaluate_l2_pool},
    };
}

}  // namespace pome::mil::ops
