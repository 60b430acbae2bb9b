// reduce_mean as a sum times 1/n.
#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"reduce_mean"};

bool apply(const Site& site) {
    const mil::Type& x = site.in.type("x");
    const mil::Type& y = site.operation.results.front().type;
    if (!is_floating(x.dtype)) {
        return false;
    }
    const std::int64_t count = x.shape.elements() / std::max<std::int64_t>(1, y.shape.elements());
    const double factor = 1.0 / static_cast<double>(std::max<std::int64_t>(1, count));
    const mil::Literal rounded = mil::Literal::number(x.dtype, factor);
    if (rounded.numbers().front() == 0.0) {
        return site.refuse(
            fmt::format("a mean of {} elements: 1/{} is zero in fp16, and a product "
                        "of a sum with zero does not compile",
                        count, count));
    }
    mil::Builder& b = site.ops();
    std::vector<mil::Builder::CallArgument> arguments;
    for (const char* name : {"axes", "keep_dims", "x"}) {
        if (const auto given = site.emission.operand(site.operation, name)) {
            arguments.push_back({name, {*given}, false});
        }
    }
    const mil::Value sum = b.call_many("reduce_sum", arguments).front();
    return site.replace(
        fmt::format("written as reduce_sum times 1/{}: the route has no reduce_mean", count),
        {b.scale(sum, factor)});
}

}  // namespace

Rule mean_rule() {
    return {{"mean", "capabilities.reduce_mean is false",
             "reduce_mean becomes reduce_sum times 1/n", Equality::mathematics},
            [](const Profile& profile) { return !profile.capabilities.reduce_mean; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
