// Roots after a reduction as powers, and inverses as quotients.
#include <algorithm>

#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view root_ops[] = {"rsqrt", "sqrt"};
constexpr std::string_view inverse_ops[] = {"inverse"};
/// What may stand between a reduction and the root so that the root still comes "after" it.
constexpr std::string_view between[] = {"add",     "sub",  "mul",     "real_div",    "maximum",
                                        "minimum", "clip", "reshape", "expand_dims", "squeeze",
                                        "cast",    "relu", "abs",     "identity"};
constexpr int furthest = 8;

bool comes_from_reduction(const Emission& emission, std::string_view name, int distance) {
    const mil::Operation* operation = emission.producer(name);
    if (operation == nullptr || distance > furthest) {
        return false;
    }
    if (operation->op.starts_with("reduce_")) {
        return true;
    }
    if (std::find(std::begin(between), std::end(between), operation->op) == std::end(between)) {
        return false;
    }
    for (const auto& argument : operation->arguments) {
        for (const auto& operand : argument.operands) {
            const auto* value = std::get_if<std::string>(&operand);
            if (value != nullptr && comes_from_reduction(emission, *value, distance + 1)) {
                return true;
            }
        }
    }
    return false;
}

/// x + epsilon; x itself where epsilon is zero in x's dtype.
mil::Value shifted(const Site& site, const mil::Value& x) {
    const double epsilon = site.in.number("epsilon");
    const bool vanishes = mil::Literal::number(x.type.dtype, epsilon).numbers().front() == 0.0;
    return vanishes ? x : site.ops().add(x, site.ops().number(x.type.dtype, epsilon));
}

bool apply_root(const Site& site) {
    const mil::Argument* argument = site.operation.find_argument("x");
    const auto* name = argument == nullptr || argument->operands.empty()
                           ? nullptr
                           : std::get_if<std::string>(&argument->operands.front());
    if (name == nullptr || !comes_from_reduction(site.emission, *name, 0)) {
        return false;
    }
    const mil::Value x = *site.emission.operand(site.operation, "x");
    if (site.operation.op == "sqrt") {
        return site.replace("written as pow(x, 0.5): sqrt after a reduction does not compile",
                            {site.ops().pow(x, 0.5)});
    }
    return site.replace(
        "written as pow(x + epsilon, -0.5): rsqrt after a reduction does not compile",
        {site.ops().pow(shifted(site, x), -0.5)});
}

bool apply_inverse(const Site& site) {
    const mil::Value x = *site.emission.operand(site.operation, "x");
    mil::Builder& b = site.ops();
    return site.replace("written as 1 / (x + epsilon): the route has no inverse",
                        {b.real_div(b.number(x.type.dtype, 1.0), shifted(site, x))});
}

}  // namespace

Rule root_rule() {
    return {
        {"root", "capabilities.rsqrt_after_reduction is false",
         "rsqrt and sqrt of what comes from a reduction become pow(x, -0.5) and pow(x, 0.5) (the "
         "emulator takes both from one table; the chip's pow is not measured)",
         Equality::bits},
        [](const Profile& profile) { return !profile.capabilities.rsqrt_after_reduction; },
        root_ops,
        apply_root};
}

Rule inverse_rule() {
    return {{"inverse", "capabilities.inverse is false", "inverse becomes a quotient",
             Equality::mathematics},
            [](const Profile& profile) { return !profile.capabilities.inverse; },
            inverse_ops,
            apply_inverse};
}

}  // namespace pome::device::legalizing
