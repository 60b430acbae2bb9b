// gelu by erf, tanh or sigmoid.
#include <cmath>
#include <numbers>

#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"gelu"};

/// x/2 (1 + f)
mil::Value half_of(mil::Builder& b, const mil::Value& x, const mil::Value& f) {
    return b.mul(b.scale(x, 0.5), b.add(f, b.number(x.type.dtype, 1.0)));
}

bool apply(const Site& site) {
    mil::Builder& b = site.ops();
    const std::string& mode = site.in.text("mode");
    const mil::Value x = *site.emission.operand(site.operation, "x");
    if (mode == "EXACT") {
        const mil::Value erf = b.unary("erf", b.scale(x, 1.0 / std::numbers::sqrt2));
        return site.replace("written as x/2 (1 + erf(x / sqrt 2)): the route has no gelu",
                            {half_of(b, x, erf)});
    }
    if (mode == "TANH_APPROXIMATION") {
        // x (1 + 0.044715 x^2) sqrt(2/pi). x^2 may overflow: tanh is then 1 or -1, as it should be.
        const mil::Value cubic = b.add(b.scale(b.mul(x, x), 0.044715), b.number(x.type.dtype, 1.0));
        const mil::Value inside = b.mul(b.scale(x, std::sqrt(2.0 / std::numbers::pi)), cubic);
        return site.replace("written by tanh: the route has no gelu",
                            {half_of(b, x, b.unary("tanh", inside))});
    }
    return site.replace("written as x sigmoid(1.702 x): the route has no gelu",
                        {b.mul(x, b.unary("sigmoid", b.scale(x, 1.702)))});
}

}  // namespace

Rule gelu_rule() {
    return {{"gelu", "capabilities.gelu is false", "gelu becomes its erf, tanh or sigmoid formula",
             Equality::mathematics},
            [](const Profile& profile) { return !profile.capabilities.gelu; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
