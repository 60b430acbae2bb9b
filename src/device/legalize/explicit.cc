// Arguments that the language lets one leave out and the compiler does not.
#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"log", "rsqrt", "inverse", "avg_pool", "max_pool", "l2_pool"};

bool apply(const Site& site) {
    const bool is_pool = site.operation.op.ends_with("pool");
    const std::string argument = is_pool ? "ceil_mode" : "epsilon";
    if (site.in.has(argument)) {
        return false;
    }
    mil::Builder& b = site.ops();
    const mil::Value value = is_pool ? b.boolean(site.in.boolean(argument))
                                     : b.number(site.in.type("x").dtype, site.in.number(argument));
    return site.replace(
        fmt::format("{} is written out with its default: the compiler asks for it", argument),
        site.emission.again(site.operation, {{argument, value}}));
}

}  // namespace

Rule explicit_rule() {
    return {{"explicit", "always",
             "log, rsqrt and inverse get their epsilon, pools their ceil_mode, as constants",
             Equality::bits},
            [](const Profile&) { return true; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
