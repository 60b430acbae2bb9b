#include "base/error.h"
#include "mil/autodiff/rules.h"

namespace pome::mil::autodiff {
namespace {

// y = op(x) op(w):  dx = dy op(w)^T,  dw = op(x)^T dy, each transposed back where the operand was.
Gradients matmul_backward(Builder& b, Context& c) {
    const Value dy = *c.gradient();
    const bool tx = c.arguments().boolean("transpose_x"), ty = c.arguments().boolean("transpose_y");
    Gradients gradients;
    if (c.wants("x")) {
        const Value y = c.forward("y");
        const Value dx = tx ? b.matmul(y, dy, ty, true) : b.matmul(dy, y, false, !ty);
        gradients["x"] = unbroadcast(b, dx, c.type("x").shape);
    }
    if (c.wants("y")) {
        const Value x = c.forward("x");
        const Value d = ty ? b.matmul(dy, x, true, tx) : b.matmul(x, dy, !tx, false);
        gradients["y"] = unbroadcast(b, d, c.type("y").shape);
    }
    return gradients;
}

/// A stride-1 convolution without groups is a sum over its taps: y = sum_t W_t shift_t(pad(x)), W_t
/// [Co, Ci].
struct Taps {
    std::int64_t batch, channels, height, width, outputs, out_height, out_width, kernel_height,
        kernel_width;
    std::int64_t dilation_h, dilation_w, top, bottom, left, right;
};

Taps taps_of(const Context& c, const Value& dy) {
    const auto& in = c.arguments();
    const Shape x = c.type("x").shape, weight = c.type("weight").shape;
    if (in.integers("strides") != std::vector<std::int64_t>{1, 1} || in.integer("groups") != 1) {
        fail(Code::unsupported, "mil.autodiff",
             "conv: gradients are known for stride 1 and one group; write it as slices and matmul "
             "{}",
             where(c.operation()));
    }
    Taps t{};
    t.batch = x[0], t.channels = x[1], t.height = x[2], t.width = x[3];
    t.outputs = weight[0], t.kernel_height = weight[2], t.kernel_width = weight[3];
    t.out_height = dy.shape()[2], t.out_width = dy.shape()[3];
    const auto dilations = in.integers("dilations"), pad = in.integers("pad");
    t.dilation_h = dilations[0], t.dilation_w = dilations[1];
    const std::string& type = in.text("pad_type");
    if (type == "custom") {
        t.top = pad[0], t.bottom = pad[1], t.left = pad[2], t.right = pad[3];
    } else if (type == "same" || type == "same_lower") {
        const std::int64_t h = (t.kernel_height - 1) * t.dilation_h,
                           w = (t.kernel_width - 1) * t.dilation_w;
        t.top = type == "same" ? h / 2 : h - h / 2, t.bottom = h - t.top;
        t.left = type == "same" ? w / 2 : w - w / 2, t.right = w - t.left;
    }
    return t;
}

Value pad(Builder& b, const Value& x, const std::vector<std::int64_t>& amounts) {
    bool any = false;
    for (const std::int64_t amount : amounts) {
        any = any || amount != 0;
    }
    if (!any) {
        return x;
    }
    return b.call("pad", {{"constant_val", b.number(x.type.dtype, 0.0)},
                          {"mode", b.text("constant")},
                          {"pad", b.integers(amounts)},
                          {"x", x}});
}

/// dx = sum_t unshift_t(W_t^T dy), cut out of the padded plane.
Value conv_input_gradient(Builder& b, const Taps& t, const Value& weight, const Value& dy) {
    const Value columns = b.reshape(dy, {t.batch, 1, t.outputs, t.out_height * t.out_width});
    const std::int64_t high = t.height + t.top + t.bottom, wide = t.width + t.left + t.right;
    Value total;
    for (std::int64_t kh = 0; kh < t.kernel_height; ++kh) {
        for (std::int64_t kw = 0; kw < t.kernel_width; ++kw) {
            const Value tap =
                b.reshape(b.slice(weight, {0, 0, kh, kw}, {t.outputs, t.channels, 1, 1}),
                          {1, 1, t.outputs, t.channels});
            const Value part = b.reshape(b.matmul(tap, columns, true),
                                         {t.batch, t.channels, t.out_height, t.out_width});
            const std::int64_t down = kh * t.dilation_h, right = kw * t.dilation_w;
            const Value placed =
                pad(b, part, {down, high - t.out_height - down, right, wide - t.out_width - right});
            total = total.name.empty() ? placed : b.add(total, placed);
        }
    }
    return b.slice(total, {0, 0, t.top, t.left}, {t.batch, t.channels, t.height, t.width});
}

/// dW_t = dy shift_t(pad(x))^T summed over the batch.
Value conv_weight_gradient(Builder& b, const Taps& t, const Value& x, const Value& dy) {
    const std::int64_t positions = t.out_height * t.out_width;
    const Value rows = b.reshape(dy, {t.batch, 1, t.outputs, positions});
    const Value padded = pad(b, x, {t.top, t.bottom, t.left, t.right});
    std::vector<Value> taps;
    for (std::int64_t kh = 0; kh < t.kernel_height; ++kh) {
        for (std::int64_t kw = 0; kw < t.kernel_width; ++kw) {
            const Value shifted = b.slice(padded, {0, 0, kh * t.dilation_h, kw * t.dilation_w},
                                          {t.batch, t.channels, t.out_height, t.out_width});
            const Value product = b.matmul(
                rows, b.reshape(shifted, {t.batch, 1, t.channels, positions}), false, true);
            const Value summed = t.batch > 1 ? b.reduce_sum(product, {0}, true) : product;
            taps.push_back(b.reshape(summed, {t.outputs, t.channels, 1, 1}));
        }
    }
    const Value joined = taps.size() > 1 ? b.concat(taps, 2) : taps.front();
    return b.reshape(joined, {t.outputs, t.channels, t.kernel_height, t.kernel_width});
}

Gradients conv_backward(Builder& b, Context& c) {
    const Value dy = *c.gradient();
    const Taps taps = taps_of(c, dy);
    Gradients gradients;
    if (c.wants("x")) {
        gradients["x"] = conv_input_gradient(b, taps, c.forward("weight"), dy);
    }
    if (c.wants("weight")) {
        gradients["weight"] = conv_weight_gradient(b, taps, c.forward("x"), dy);
    }
    if (c.wants("bias")) {
        gradients["bias"] = b.reduce_sum(dy, {0, 2, 3}, false);
    }
    return gradients;
}

}  // namespace

std::vector<Rule> product_rules() {
    return {{"conv", conv_backward}, {"matmul", matmul_backward}};
}

}  // namespace pome::mil::autodiff
