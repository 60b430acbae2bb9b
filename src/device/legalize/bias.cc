// The bias of conv and linear as an addition of its own.
#include <algorithm>

#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"conv", "conv_transpose", "linear"};

bool is_zero(const Site& site) {
    const mil::Literal* bias = site.in.constant("bias");
    if (bias == nullptr || !is_readable(*bias, site.work.weights)) {
        return false;
    }
    const mil::Literal plain{bias->type, site.work.weights.resolve(*bias)};
    const auto values = plain.numbers();
    return std::all_of(values.begin(), values.end(), [](double v) { return v == 0.0; });
}

/// The bias [C] as it is added to a result of this rank: [1,C,1,..] for conv, [C] for linear.
mil::Value addend(const Site& site, int rank) {
    const mil::Value bias = *site.emission.operand(site.operation, "bias");
    if (site.operation.op == "linear") {
        return bias;
    }
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(rank), 1));
    shape[1] = bias.shape()[0];
    if (const mil::Literal* constant = site.in.constant("bias")) {
        mil::Literal spread = *constant;  // the same elements, also in a weight file
        spread.type.shape = shape;
        return site.ops().constant(std::move(spread), "bias");
    }
    return site.ops().reshape(bias, shape);
}

bool apply(const Site& site) {
    if (!site.in.has("bias")) {
        return false;
    }
    if (is_zero(site)) {
        return site.replace("the bias, which is zero, is left out",
                            site.emission.again(site.operation, {}, {"bias"}));
    }
    mil::Builder& b = site.ops();
    if (site.operation.op == "linear" && site.in.type("x").shape.rank() >= 2) {
        const mil::Value product =
            b.matmul(*site.emission.operand(site.operation, "x"),
                     *site.emission.operand(site.operation, "weight"), false, true);
        return site.replace("written as matmul and add: the route takes no bias argument",
                            {b.add(product, addend(site, 0))});
    }
    const mil::Value product = site.emission.again(site.operation, {}, {"bias"}).front();
    return site.replace("the bias is added by an op of its own: the route takes no bias argument",
                        {b.add(product, addend(site, product.shape().rank()))});
}

}  // namespace

Rule bias_rule() {
    return {{"bias", "capabilities.conv_bias is false",
             "the bias of conv, conv_transpose and linear becomes an add; linear then is a matmul",
             Equality::mathematics},
            [](const Profile& profile) { return !profile.capabilities.conv_bias; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
