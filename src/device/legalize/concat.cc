// concat in the only form that is known to compile: two or more values, an axis that is not
// negative, axis and interleave as named constants.
#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"concat"};

bool is_named(const mil::Operation& operation, std::string_view name) {
    const mil::Argument* argument = operation.find_argument(name);
    return argument != nullptr && !argument->operands.empty() &&
           std::holds_alternative<std::string>(argument->operands.front());
}

bool apply(const Site& site) {
    const auto values = site.emission.operands(site.operation, "values");
    if (values.size() == 1) {
        return site.replace("left out: a concat of one value is refused", values);
    }
    const std::int64_t axis = site.in.integer("axis");
    if (axis >= 0 && is_named(site.operation, "axis") && is_named(site.operation, "interleave")) {
        return false;
    }
    mil::Builder& b = site.ops();
    const auto rank = values.front().shape().rank();
    return site.replace(
        "written with an axis that is not negative, axis and interleave as named constants",
        site.emission.again(
            site.operation,
            {{"axis", b.integer(static_cast<std::int32_t>(axis < 0 ? axis + rank : axis))},
             {"interleave", b.boolean(site.in.boolean("interleave"))}}));
}

}  // namespace

Rule concat_rule() {
    return {{"concat", "always",
             "concat of one value is left out; a negative axis becomes its equal; axis and "
             "interleave become named constants",
             Equality::bits},
            [](const Profile&) { return true; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
