// Windows over height and width: convolutions and pooling.
#include <algorithm>

#include "base/error.h"
#include "mil/autodiff/rules.h"

namespace pome::mil::autodiff {
namespace {

/// A stride-1 convolution without groups is a sum over its taps: y = sum_t W_t shift_t(pad(x)), W_t
/// [Co, Ci].
struct Taps {
    std::int64_t batch, channels, height, width, outputs, out_height, out_width, kernel_height,
        kernel_width;
    std::int64_t dilation_h, dilation_w, top, bottom, left, right;
};

/// Constant `name` for height and width, `absent` where it is not given.
std::vector<std::int64_t> for_plane(const Arguments& in, std::string_view name,
                                    std::vector<std::int64_t> absent) {
    return in.has(name) ? in.integers(name) : absent;
}

void expect_plane(const Context& c) {
    if (c.type("x").shape.rank() != 4) {
        fail(Code::unsupported, "mil.autodiff", "{}: gradients are known for two spatial axes {}",
             c.operation().op, where(c.operation()));
    }
}

Taps taps_of(const Context& c, const Value& dy) {
    const auto& in = c.arguments();
    const Shape x = c.type("x").shape, weight = c.type("weight").shape;
    Taps t{};
    t.batch = x[0], t.channels = x[1], t.height = x[2], t.width = x[3];
    t.outputs = weight[0], t.kernel_height = weight[2], t.kernel_width = weight[3];
    t.out_height = dy.shape()[2], t.out_width = dy.shape()[3];
    const auto dilations = for_plane(in, "dilations", {1, 1}),
               pad = for_plane(in, "pad", {0, 0, 0, 0});
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

/// How a window moves over one axis of `whole` positions, which it meets `count` times.
struct Axis {
    std::int64_t whole, count, kernel, stride, dilation, before;
    std::int64_t extent() const { return (kernel - 1) * dilation + 1; }
    /// Positions after `whole` that the last window reaches.
    std::int64_t beyond() const {
        return std::max<std::int64_t>(0, (count - 1) * stride + extent() - whole - before);
    }
};

struct Plane {
    std::int64_t batch, channels, groups;
    Axis h, w;
};

/// `whole` are the sizes that the window moves over, `met` how often it does: x and y of conv and
/// pooling, y and x of conv_transpose.
Plane plane_of(const Context& c, const Shape& whole, const Shape& met,
               const std::vector<std::int64_t>& kernel, bool dilated) {
    const auto& in = c.arguments();
    const auto strides = for_plane(in, "strides", {1, 1});
    const auto dilations =
        dilated ? for_plane(in, "dilations", {1, 1}) : std::vector<std::int64_t>{1, 1};
    const auto pad = for_plane(in, "pad", {0, 0, 0, 0});
    const std::string& type = in.text("pad_type");
    const auto axis = [&](std::size_t i) {
        const int at = static_cast<int>(i) + 2;
        Axis a{whole[at], met[at], kernel[i], strides[i], dilations[i], 0};
        if (type == "custom") {
            a.before = pad[2 * i];
        } else if (type == "same" || type == "same_lower") {
            const std::int64_t total =
                std::max<std::int64_t>(0, (a.count - 1) * a.stride + a.extent() - a.whole);
            a.before = type == "same" ? total / 2 : total - total / 2;
        }
        return a;
    };
    return {whole[0], whole[1], dilated ? in.integer("groups") : whole[1], axis(0), axis(1)};
}

Value padded(Builder& b, const Value& x, const Plane& p, double value) {
    return b.call("pad", {{"constant_val", b.number(x.type.dtype, value)},
                          {"mode", b.text("constant")},
                          {"pad", b.integers({p.h.before, p.h.beyond(), p.w.before, p.w.beyond()})},
                          {"x", x}});
}

/// The elements of a padded plane that tap (kh, kw) meets.
Value met_by(Builder& b, const Value& plane, const Plane& p, std::int64_t kh, std::int64_t kw) {
    const std::int64_t top = kh * p.h.dilation, left = kw * p.w.dilation;
    const Shape& shape = plane.shape();
    return b.call("slice_by_index",
                  {{"begin", b.integers({0, 0, top, left})},
                   {"end", b.integers({shape[0], shape[1], top + (p.h.count - 1) * p.h.stride + 1,
                                       left + (p.w.count - 1) * p.w.stride + 1})},
                   {"stride", b.integers({1, 1, p.h.stride, p.w.stride})},
                   {"x", plane}});
}

/// sum_n left[n, g, i, positions] right[n, g, j, positions], for every tap of `plane`, as a weight
/// [groups * i, j, kh, kw].
Value weight_gradient(Builder& b, const Plane& p, const Value& left, const Value& plane) {
    const std::int64_t positions = p.h.count * p.w.count, outer = left.shape()[1] / p.groups,
                       inner = plane.shape()[1] / p.groups;
    const Value rows = b.reshape(left, {p.batch, p.groups, outer, positions});
    std::vector<Value> taps;
    for (std::int64_t kh = 0; kh < p.h.kernel; ++kh) {
        for (std::int64_t kw = 0; kw < p.w.kernel; ++kw) {
            const Value met =
                b.reshape(met_by(b, plane, p, kh, kw), {p.batch, p.groups, inner, positions});
            const Value product = b.matmul(rows, met, false, true);
            const Value summed = p.batch > 1 ? b.reduce_sum(product, {0}, true) : product;
            taps.push_back(b.reshape(summed, {p.groups * outer, inner, 1, 1}));
        }
    }
    const Value joined = taps.size() > 1 ? b.concat(taps, 2) : taps.front();
    return b.reshape(joined, {p.groups * outer, inner, p.h.kernel, p.w.kernel});
}

/// What every window carries back to where it met the plane: conv_transpose with the same weight.
Value carried_back(Builder& b, const Plane& p, const Value& weight, const Value& dy) {
    return b.call("conv_transpose",
                  {{"dilations", b.integers({p.h.dilation, p.w.dilation})},
                   {"groups", b.integer(static_cast<std::int32_t>(p.groups))},
                   {"output_shape", b.integers({p.batch, p.channels, p.h.whole, p.w.whole})},
                   {"pad", b.integers({p.h.before, p.h.beyond(), p.w.before, p.w.beyond()})},
                   {"pad_type", b.text("custom")},
                   {"strides", b.integers({p.h.stride, p.w.stride})},
                   {"weight", weight},
                   {"x", dy}});
}

Gradients conv_backward(Builder& b, Context& c) {
    expect_plane(c);
    const Value dy = *c.gradient();
    const auto& in = c.arguments();
    const bool plain = for_plane(in, "strides", {1, 1}) == std::vector<std::int64_t>{1, 1} &&
                       in.integer("groups") == 1;
    const Taps taps = taps_of(c, dy);
    const Plane plane =
        plane_of(c, c.type("x").shape, dy.shape(), {taps.kernel_height, taps.kernel_width}, true);
    Gradients gradients;
    if (c.wants("x")) {
        gradients["x"] = plain ? conv_input_gradient(b, taps, c.forward("weight"), dy)
                               : carried_back(b, plane, c.forward("weight"), dy);
    }
    if (c.wants("weight")) {
        gradients["weight"] =
            plain ? conv_weight_gradient(b, taps, c.forward("x"), dy)
                  : weight_gradient(b, plane, dy, padded(b, c.forward("x"), plane, 0.0));
    }
    if (c.wants("bias")) {
        gradients["bias"] = b.reduce_sum(dy, {0, 2, 3}, false);
    }
    return gradients;
}

// conv_transpose carries x to windows over y, so its gradients are those of the conv whose input is
// dy and whose output is x.
Gradients conv_transpose_backward(Builder& b, Context& c) {
    expect_plane(c);
    const Value dy = *c.gradient();
    const auto& in = c.arguments();
    const Shape x = c.type("x").shape, weight = c.type("weight").shape;
    Plane plane = plane_of(c, dy.shape(), x, {weight[2], weight[3]}, true);
    if (in.text("pad_type").starts_with("same")) {  // the share of what is cut off
        for (Axis* axis : {&plane.h, &plane.w}) {
            const std::int64_t total = std::max<std::int64_t>(
                0, (axis->count - 1) * axis->stride + axis->extent() - axis->whole);
            axis->before = in.text("pad_type") == "same" ? total / 2 : total - total / 2;
        }
    }
    Gradients gradients;
    const Value around = padded(b, dy, plane, 0.0);
    if (c.wants("x")) {
        const Value whole =
            b.call("conv", {{"dilations", b.integers({plane.h.dilation, plane.w.dilation})},
                            {"groups", b.integer(static_cast<std::int32_t>(plane.groups))},
                            {"pad_type", b.text("valid")},
                            {"strides", b.integers({plane.h.stride, plane.w.stride})},
                            {"weight", c.forward("weight")},
                            {"x", around}});
        gradients["x"] = whole.shape() == x ? whole : b.slice(whole, {0, 0, 0, 0}, x.sizes());
    }
    if (c.wants("weight")) {
        gradients["weight"] = weight_gradient(b, plane, c.forward("x"), around);
    }
    if (c.wants("bias")) {
        gradients["bias"] = b.reduce_sum(dy, {0, 2, 3}, false);
    }
    return gradients;
}

/// A weight that carries channels to themselves: 1 at one tap (all taps for -1).
Value own_channels(Builder& b, const Plane& p, DType dtype, std::int64_t tap) {
    const std::int64_t taps = p.h.kernel * p.w.kernel;
    std::vector<double> ones(static_cast<std::size_t>(p.channels * taps), tap < 0 ? 1.0 : 0.0);
    for (std::int64_t channel = 0; tap >= 0 && channel < p.channels; ++channel) {
        ones[static_cast<std::size_t>(channel * taps + tap)] = 1.0;
    }
    return b.constant(Literal::tensor(dtype, {p.channels, 1, p.h.kernel, p.w.kernel}, ones),
                      "taps");
}

Plane pool_plane(Context& c, const Value& dy) {
    expect_plane(c);
    return plane_of(c, c.type("x").shape, dy.shape(), c.arguments().integers("kernel_sizes"),
                    false);
}

// Each window gives dy / count to its positions.
Gradients avg_pool_backward(Builder& b, Context& c) {
    const Value dy = *c.gradient();
    const Plane p = pool_plane(c, dy);
    const bool exclude = c.arguments().boolean("exclude_padding_from_average");
    const auto pad = for_plane(c.arguments(), "pad", {0, 0, 0, 0});
    const std::string& type = c.arguments().text("pad_type");
    // Positions of one window on one axis: those of x, and of its padding unless excluded.
    const auto counted = [&](const Axis& axis, std::int64_t after, std::int64_t i) {
        const std::int64_t start = i * axis.stride - axis.before;
        return exclude
                   ? std::min(start + axis.kernel, axis.whole) - std::max<std::int64_t>(start, 0)
                   : std::min(start + axis.kernel, axis.whole + after) - start;
    };
    const auto after = [&](const Axis& axis, std::size_t i) {
        return type == "custom" ? pad[2 * i + 1] : type == "valid" ? 0 : axis.beyond();
    };
    std::vector<double> shares;
    for (std::int64_t i = 0; i < p.h.count; ++i) {
        for (std::int64_t j = 0; j < p.w.count; ++j) {
            shares.push_back(1.0 / static_cast<double>(counted(p.h, after(p.h, 0), i) *
                                                       counted(p.w, after(p.w, 1), j)));
        }
    }
    const DType dtype = dy.type.dtype;
    const Value share =
        b.constant(Literal::tensor(dtype, {1, 1, p.h.count, p.w.count}, shares), "shares");
    return {{"x", carried_back(b, p, own_channels(b, p, dtype, -1), b.mul(dy, share))}};
}

// Each window gives dy to its largest positions, in equal shares.
Gradients max_pool_backward(Builder& b, Context& c) {
    const Value dy = *c.gradient(), y = c.forward("result");
    const Plane p = pool_plane(c, dy);
    const DType dtype = dy.type.dtype;
    const Value plane = padded(b, c.forward("x"), p, -65504.0);
    std::vector<Value> masks;
    Value ties;
    for (std::int64_t kh = 0; kh < p.h.kernel; ++kh) {
        for (std::int64_t kw = 0; kw < p.w.kernel; ++kw) {
            const Value apart =
                b.unary("sign", b.unary("abs", b.sub(met_by(b, plane, p, kh, kw), y)));
            masks.push_back(b.sub(b.number(dtype, 1.0), apart));
            ties = ties.name.empty() ? masks.back() : b.add(ties, masks.back());
        }
    }
    const Value share = b.real_div(dy, ties);
    Value total;
    for (std::size_t tap = 0; tap < masks.size(); ++tap) {
        const Value part =
            carried_back(b, p, own_channels(b, p, dtype, static_cast<std::int64_t>(tap)),
                         b.mul(masks[tap], share));
        total = total.name.empty() ? part : b.add(total, part);
    }
    return {{"x", total}};
}

}  // namespace

std::vector<Rule> window_rules() {
    return {{"conv", conv_backward},
            {"conv_transpose", conv_transpose_backward},
            {"avg_pool", avg_pool_backward},
            {"max_pool", max_pool_backward}};
}

}  // namespace pome::mil::autodiff
