// Values with an axis beyond the chip's limit, and sums with too many terms: computed in parts.
#include "device/legalize/splitter.h"

namespace pome::device::legalizing {

const RewriteInfo wide_info{"wide",
                            "an axis exceeds limits.max_width, max_channels or max_batch, a "
                            "matmul's sums exceed max_inner, "
                            "a conv's input channels exceed conv_input_channels",
                            "matmul, conv and linear are done in chunks of columns, rows or output "
                            "channels (the same bits); "
                            "long sums in partial sums that are added (other roundings)",
                            Equality::mathematics};

namespace {

/// What a refusal is about: the first value that is too wide.
Refusal refusal(const mil::Function& function, const Limits& limits, std::string reason) {
    Refusal found{std::string(wide_info.rule), function.position.line, function.name,
                  std::move(reason)};
    const auto is_wide = [&](const mil::Type& type) {
        for (int axis = 0; type.is_tensor() && axis < type.shape.rank(); ++axis) {
            const std::int64_t limit = axis_limit(limits, type.shape.rank(), axis);
            if (limit > 0 && type.shape[axis] > limit) {
                return true;
            }
        }
        return false;
    };
    for (const auto& parameter : function.parameters) {
        if (is_wide(parameter.type)) {
            found.value = parameter.name;
            return found;
        }
    }
    for (const auto& operation : function.operations) {
        for (const auto& result : operation.results) {
            if (operation.op != "const" && is_wide(result.type)) {
                found.value = result.name;
                found.line = operation.position.line;
                return found;
            }
        }
    }
    return found;
}

}  // namespace

mil::Function split_wide(const mil::Function& function, const Work& work) {
    mil::WeightFiles weights = work.weights;
    Splitter splitter(function, work, weights);
    splitter.boundary = work.boundary;
    try {
        mil::Function split = splitter.run();
        if (splitter.changes.empty()) {
            return function;
        }
        work.weights = std::move(weights);
        work.boundary = std::move(splitter.boundary);
        work.changes.insert(work.changes.end(), splitter.changes.begin(), splitter.changes.end());
        return split;
    } catch (const Unsplittable& problem) {
        work.refusals.push_back(refusal(function, work.profile.limits, problem.reason));
        return function;
    }
}

}  // namespace pome::device::legalizing
