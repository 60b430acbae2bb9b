#include <numeric>

#include "mil/autodiff/rules.h"

namespace pome::mil::autodiff {
namespace {

/// Same elements, other shape: reshape, expand_dims, squeeze, identity.
Gradients view_backward(Builder& b, Context& c) {
    return {{"x", b.reshape(*c.gradient(), c.type("x").shape)}};
}

Gradients cast_backward(Builder& b, Context& c) {
    return {{"x", b.cast(*c.gradient(), c.type("x").dtype)}};
}

Gradients transpose_backward(Builder& b, Context& c) {
    const auto perm = c.arguments().integers("perm");
    std::vector<std::int64_t> inverse(perm.size());
    for (std::size_t i = 0; i < perm.size(); ++i) {
        const std::int64_t axis =
            perm[i] < 0 ? perm[i] + static_cast<std::int64_t>(perm.size()) : perm[i];
        inverse[static_cast<std::size_t>(axis)] = static_cast<std::int64_t>(i);
    }
    return {{"x", b.transpose(*c.gradient(), inverse)}};
}

/// The gradient with zeros before and after it along every axis: one concat an axis that was cut.
Value surround(Builder& b, Value gradient, const Shape& whole,
               const std::vector<std::int64_t>& begin) {
    for (int axis = whole.rank() - 1; axis >= 0; --axis) {
        const std::int64_t before = begin[static_cast<std::size_t>(axis)];
        const std::int64_t after = whole[axis] - before - gradient.shape()[axis];
        std::vector<Value> parts;
        const auto zeros = [&](std::int64_t count) {
            Shape shape = gradient.shape();
            shape[axis] = count;
            parts.push_back(filled(b, gradient.type.dtype, shape, 0.0));
        };
        if (before > 0) {
            zeros(before);
        }
        parts.push_back(gradient);
        if (after > 0) {
            zeros(after);
        }
        if (parts.size() > 1) {
            gradient = b.concat(parts, axis);
        }
    }
    return gradient;
}

Gradients slice_backward(Builder& b, Context& c) {
    return {{"x", surround(b, *c.gradient(), c.type("x").shape, c.arguments().integers("begin"))}};
}

Gradients concat_backward(Builder& b, Context& c) {
    const Value dy = *c.gradient();
    const std::int64_t given = c.arguments().integer("axis");
    const auto axis = static_cast<std::size_t>(given < 0 ? given + dy.shape().rank() : given);
    std::vector<std::int64_t> begin(static_cast<std::size_t>(dy.shape().rank()), 0);
    Gradients gradients;
    const std::size_t count = c.arguments().types("values").size();
    for (std::size_t i = 0; i < count; ++i) {
        const std::string which = "values." + std::to_string(i);
        const Shape part = c.type(which).shape;
        if (c.wants(which)) {
            gradients[which] = b.slice(dy, begin, part.sizes());
        }
        begin[axis] += part[static_cast<int>(axis)];
    }
    return gradients;
}

Gradients split_backward(Builder& b, Context& c) {
    const auto& results = c.operation().results;
    std::vector<Value> parts;
    for (std::size_t i = 0; i < results.size(); ++i) {
        const auto gradient = c.gradient(static_cast<int>(i));
        parts.push_back(gradient ? *gradient
                                 : filled(b, results[i].type.dtype, results[i].type.shape, 0.0));
    }
    return {{"x", parts.size() > 1
                      ? b.concat(parts, static_cast<int>(c.arguments().integer("axis")))
                      : parts.front()}};
}

}  // namespace

std::vector<Rule> layout_rules() {
    return {{"reshape", view_backward},        {"expand_dims", view_backward},
            {"squeeze", view_backward},        {"identity", view_backward},
            {"cast", cast_backward},           {"transpose", transpose_backward},
            {"slice_by_size", slice_backward}, {"concat", concat_backward},
            {"split", split_backward}};
}

}  // namespace pome::mil::autodiff
