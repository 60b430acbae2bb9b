// square as a product.
#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"square"};

bool apply(const Site& site) {
    const Shape& shape = site.in.type("x").shape;
    if (shape.rank() == 0 || shape[-1] % 128 <= 64) {
        return false;
    }
    const mil::Value x = *site.emission.operand(site.operation, "x");
    return site.replace(
        fmt::format("written as mul(x, x): square with a width of {} (more than 64 beyond a "
                    "multiple of 128) does not compile before a nonlinearity",
                    shape[-1]),
        {site.ops().mul(x, x)});
}

}  // namespace

Rule square_rule() {
    return {{"square", "capabilities.square_activation is false",
             "square of rows with width mod 128 > 64 becomes mul(x, x)", Equality::bits},
            [](const Profile& profile) { return !profile.capabilities.square_activation; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
