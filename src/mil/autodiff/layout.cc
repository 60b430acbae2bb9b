#include <numeric>

#include "base/error.h"
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

/// A rearrangement goes back by its inverse.
template <const char* const& op, const char* const& factor, const char* const& own>
Gradients rearranged_backward(Builder& b, Context& c) {
    const Value amount = b.integer(static_cast<std::int32_t>(c.arguments().integer(own)));
    return {{"x", b.call(op, {{factor, amount}, {"x", *c.gradient()}})}};
}
constexpr const char* depth_to_space = "depth_to_space";
constexpr const char* space_to_depth = "space_to_depth";
constexpr const char* pixel_shuffle = "pixel_shuffle";
constexpr const char* pixel_unshuffle = "pixel_unshuffle";
constexpr const char* block_size = "block_size";
constexpr const char* upscale = "upscale_factor";
constexpr const char* downscale = "downscale_factor";

Gradients reverse_backward(Builder& b, Context& c) {
    const auto& in = c.arguments();
    return {{"x", in.has("axes") ? b.call("reverse", {{"axes", b.integers(in.integers("axes"))},
                                                      {"x", *c.gradient()}})
                                 : b.call("reverse", {{"x", *c.gradient()}})}};
}

// The copies are summed: each tiled axis as [reps, size].
Gradients tile_backward(Builder& b, Context& c) {
    Value gradient = *c.gradient();
    const Shape x = c.type("x").shape;
    const auto reps = c.arguments().integers("reps");
    for (int axis = 0; axis < x.rank(); ++axis) {
        const std::int64_t count = reps[static_cast<std::size_t>(axis)];
        if (count == 1) {
            continue;
        }
        std::int64_t outer = 1, inner = 1;
        Shape summed = gradient.shape();
        for (int i = 0; i < x.rank(); ++i) {
            if (i != axis) {
                (i < axis ? outer : inner) *= summed[i];
            }
        }
        summed[axis] = x[axis];
        const Value copies = b.reshape(gradient, {outer, count, x[axis], inner});
        gradient = b.reshape(b.reduce_sum(copies, {1}, true), summed);
    }
    return {{"x", gradient}};
}

Gradients pad_backward(Builder& b, Context& c) {
    if (c.arguments().text("mode") != "constant") {
        fail(Code::unsupported, "mil.autodiff",
             "pad: gradients are known for mode constant only {}", where(c.operation()));
    }
    const Shape x = c.type("x").shape;
    const auto pad = c.arguments().integers("pad");
    std::vector<std::int64_t> begin(static_cast<std::size_t>(x.rank()), 0);
    const std::size_t first = begin.size() - pad.size() / 2;
    for (std::size_t i = 0; i < pad.size() / 2; ++i) {
        begin[first + i] = pad[2 * i];
    }
    return {{"x", b.slice(*c.gradient(), begin, x.sizes())}};
}

}  // namespace

std::vector<Rule> layout_rules() {
    return {{"reshape", view_backward},
            {"expand_dims", view_backward},
            {"squeeze", view_backward},
            {"identity", view_backward},
            {"cast", cast_backward},
            {"transpose", transpose_backward},
            {"slice_by_size", slice_backward},
            {"concat", concat_backward},
            {"split", split_backward},
            {"flatten2d", view_backward},
            {"reverse", reverse_backward},
            {"tile", tile_backward},
            {"pad", pad_backward},
            {"depth_to_space", rearranged_backward<space_to_depth, block_size, block_size>},
            {"space_to_depth", rearranged_backward<depth_to_space, block_size, block_size>},
            {"pixel_shuffle", rearranged_backward<pixel_unshuffle, downscale, upscale>},
            {"pixel_unshuffle", rearranged_backward<pixel_shuffle, upscale, downscale>}};
}

}  // namespace pome::mil::autodiff
