// layer_norm, instance_norm and l2_norm in their parts.
#include <algorithm>

#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"layer_norm", "instance_norm", "l2_norm"};

/// gamma or beta, given for `axes` of x, under the shape that broadcasts to x.
mil::Value spread(const Site& site, std::string_view argument, const Shape& x,
                  const std::vector<std::int64_t>& axes) {
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.rank()), 1));
    for (const std::int64_t axis : axes) {
        shape[static_cast<int>(axis)] = x[static_cast<int>(axis)];
    }
    if (const mil::Literal* constant = site.in.constant(argument)) {
        mil::Literal spread = *constant;  // the same elements, also in a weight file
        spread.type.shape = shape;
        return site.ops().constant(std::move(spread), argument);
    }
    return site.ops().reshape(*site.emission.operand(site.operation, argument), shape);
}

bool apply(const Site& site) {
    mil::Builder& b = site.ops();
    const Shape& shape = site.in.type("x").shape;
    const auto rank = static_cast<std::int64_t>(shape.rank());
    const std::string& op = site.operation.op;
    std::vector<std::int64_t> axes, affine;
    if (op == "layer_norm" && site.in.has("axes")) {
        for (const std::int64_t axis : site.in.integers("axes")) {
            axes.push_back(axis < 0 ? axis + rank : axis);
        }
        affine = axes;
        if (!std::is_sorted(axes.begin(), axes.end())) {
            return site.refuse("axes that do not ascend; sort them, and gamma and beta with them");
        }
    } else {
        // layer_norm: all; instance_norm: those after the channels; l2_norm: the last three.
        for (std::int64_t axis = op == "layer_norm" ? 0
                                 : op == "l2_norm"  ? rank - 3
                                                    : 2;
             axis < rank; ++axis) {
            axes.push_back(axis);
        }
        affine = op == "instance_norm" ? std::vector<std::int64_t>{1} : axes;
    }
    if (axes.empty() || axes.front() < 0) {
        return site.refuse("there is no axis to normalize");
    }
    const mil::Value x = *site.emission.operand(site.operation, "x");
    const mil::Value list = b.integers(axes), yes = b.boolean(true);
    const auto root = [&](const mil::Value& v) {
        return b.call("rsqrt",
                      {{"epsilon", b.number(x.type.dtype, site.in.number("epsilon"))}, {"x", v}});
    };
    if (op == "l2_norm") {
        return site.replace("written as x rsqrt(sum of x^2 + epsilon): the route has no l2_norm",
                            {b.mul(x, root(b.reduce_sum(b.mul(x, x), axes, true)))});
    }
    const auto mean = [&](const mil::Value& v) {
        return b.call("reduce_mean", {{"axes", list}, {"keep_dims", yes}, {"x", v}});
    };
    const mil::Value centred = b.sub(x, mean(x));
    mil::Value y = b.mul(centred, root(mean(b.mul(centred, centred))));
    if (site.in.has("gamma")) {
        y = b.mul(y, spread(site, "gamma", shape, affine));
    }
    if (site.in.has("beta")) {
        y = b.add(y, spread(site, "beta", shape, affine));
    }
    return site.replace(
        fmt::format("taken apart into means, rsqrt and products: the route has no {}", op), {y});
}

}  // namespace

Rule norm_rule() {
    return {{"norm", "capabilities.norms is false",
             "layer_norm, instance_norm and l2_norm become reductions, rsqrt and products",
             Equality::mathematics},
            [](const Profile& profile) { return !profile.capabilities.norms; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
