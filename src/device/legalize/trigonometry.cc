// sin and cos have no published equivalent on chips without them.
#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"sin", "cos"};

bool apply(const Site& site) {
    return site.refuse(
        fmt::format("{} does not run on this chip, and no equivalent of known "
                    "accuracy is published; compute it on the host and pass it in",
                    site.operation.op));
}

}  // namespace

Rule trigonometry_rule() {
    return {{"trigonometry", "capabilities.trigonometry is false",
             "sin and cos are refused: no equivalent is known", Equality::mathematics},
            [](const Profile& profile) { return !profile.capabilities.trigonometry; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
