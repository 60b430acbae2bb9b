// Moves of values that are in parts.
#include <algorithm>

#include "device/legalize/splitter.h"

namespace pome::device::legalizing {

void Splitter::take_concat() {
    const Shape& shape = operation_->results.front().type.shape;
    const std::int64_t given = in_->integer("axis");
    const int axis = static_cast<int>(given < 0 ? given + shape.rank() : given);
    if (in_->boolean("interleave")) {
        stop("an interleaved concat cannot be done in parts");
    }
    Parts parts{axis, {}, {}};
    const mil::Argument* given_values = operation_->find_argument("values");
    const auto whole = whole_values();
    for (std::size_t i = 0; i < given_values->operands.size(); ++i) {
        const auto* name = std::get_if<std::string>(&given_values->operands[i]);
        const auto found = name == nullptr ? parts_.end() : parts_.find(*name);
        if (found == parts_.end()) {
            parts.sizes.push_back(whole[i].shape()[axis]);
            parts.values.push_back(whole[i]);
            continue;
        }
        if (found->second.axis != axis) {
            stop("a concat along another axis than that of its parts");
        }
        parts.sizes.insert(parts.sizes.end(), found->second.sizes.begin(),
                           found->second.sizes.end());
        parts.values.insert(parts.values.end(), found->second.values.begin(),
                            found->second.values.end());
    }
    finish(axis, parts.sizes, std::move(parts.values), "concat: its values stay apart");
}

std::vector<mil::Value> Splitter::whole_values() {
    std::vector<mil::Value> values;
    for (const auto& operand : operation_->find_argument("values")->operands) {
        const auto* name = std::get_if<std::string>(&operand);
        if (name != nullptr && parts_.contains(*name)) {
            values.emplace_back();
        } else if (name != nullptr) {
            values.push_back(emission_.value(*name));
        } else {
            values.push_back(emission_.ops().constant(std::get<mil::Literal>(operand), "v"));
        }
    }
    return values;
}

void Splitter::take_transpose(int wide) {
    const Parts* px = parts_of("x");
    const Shape& x = in_->type("x").shape;
    auto perm = in_->integers("perm");
    for (auto& axis : perm) {
        axis = axis < 0 ? axis + x.rank() : axis;
    }
    const int from =
        px != nullptr ? px->axis : static_cast<int>(perm[static_cast<std::size_t>(wide)]);
    const auto axis = static_cast<int>(std::find(perm.begin(), perm.end(), from) - perm.begin());
    if (wide >= 0 && wide != axis) {
        stop("a transpose is too wide along another axis than its operand");
    }
    const Sizes sizes =
        px != nullptr ? px->sizes : chunks_of(operation_->results.front().type, axis);
    std::vector<mil::Value> values;
    for (const mil::Value& one : cut_operand("x", from, sizes)) {
        values.push_back(emission_.ops().transpose(one, perm));
    }
    finish(axis, sizes, std::move(values), "transpose: " + in_parts(sizes, "positions"));
}

void Splitter::take_view(int wide) {
    const Parts* px = parts_of("x");
    const Shape& x = in_->type("x").shape;
    const Shape& y = operation_->results.front().type.shape;
    const auto same_axis = [](const Shape& of, int axis, const Shape& in) {
        std::int64_t before = 1;
        for (int i = 0; i < axis; ++i) {
            before *= of[i];
        }
        std::int64_t reached = 1;
        for (int i = 0; i < in.rank(); ++i) {
            if (reached == before && in[i] == of[axis]) {
                return i;
            }
            reached *= in[i];
        }
        return -1;
    };
    const int from = px != nullptr ? px->axis : same_axis(y, wide, x);
    const int axis = from < 0 ? -1 : same_axis(x, from, y);
    if (axis < 0 || (wide >= 0 && wide != axis)) {
        stop(fmt::format("a {} from {} to {} mixes the axis that is too wide with others",
                         operation_->op, x.text(), y.text()));
    }
    const Sizes sizes =
        px != nullptr ? px->sizes : chunks_of(operation_->results.front().type, axis);
    std::vector<mil::Value> values;
    for (const mil::Value& one : cut_operand("x", from, sizes)) {
        Shape shape = y;
        shape[axis] = one.shape()[from];
        values.push_back(emission_.ops().reshape(one, shape));
    }
    finish(axis, sizes, std::move(values), operation_->op + ": " + in_parts(sizes, "positions"));
}

}  // namespace pome::device::legalizing
