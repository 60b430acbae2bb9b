// Reductions, softmax and pointwise operations on values that are in parts.
#include <algorithm>

#include "device/legalize/splitter.h"

namespace pome::device::legalizing {

void Splitter::take_reduction() {
    const Parts* px = parts_of("x");
    if (px == nullptr) {
        stop("a reduction's result is too wide where its operand is not");
    }
    const Shape& x = in_->type("x").shape;
    std::vector<bool> reduced(static_cast<std::size_t>(x.rank()), !in_->has("axes"));
    if (in_->has("axes")) {
        for (const std::int64_t axis : in_->integers("axes")) {
            reduced[static_cast<std::size_t>(axis < 0 ? axis + x.rank() : axis)] = true;
        }
    }
    std::vector<mil::Value> values;
    for (const mil::Value& one : px->values) {
        values.push_back(emission_.again(*operation_, {{"x", one}}).front());
    }
    if (!reduced[static_cast<std::size_t>(px->axis)]) {
        int axis = px->axis;
        if (!in_->boolean("keep_dims")) {
            axis -= static_cast<int>(std::count(reduced.begin(), reduced.begin() + px->axis, true));
        }
        finish(axis, px->sizes, std::move(values),
               operation_->op + ": " + in_parts(px->sizes, "positions"));
        return;
    }
    if (operation_->op == "reduce_sum") {
        note("reduce_sum: " + in_parts(px->sizes, "terms") + ", whose sums are added",
             Equality::mathematics);
        emission_.replace(*operation_, {sum(values)});
        return;
    }
    const std::string_view op = operation_->op == "reduce_max" ? "maximum" : "minimum";
    mil::Value best = values.front();
    for (std::size_t i = 1; i < values.size(); ++i) {
        best = emission_.ops().call(op, {{"x", best}, {"y", values[i]}});
    }
    note(operation_->op + ": " + in_parts(px->sizes, "terms"), Equality::bits);
    emission_.replace(*operation_, {best});
}

void Splitter::take_softmax(int wide) {
    const Parts* px = parts_of("x");
    const std::int64_t given = in_->integer("axis");
    const int rank = in_->type("x").shape.rank();
    if (px == nullptr || px->axis == (given < 0 ? given + rank : given) ||
        (wide >= 0 && wide != px->axis)) {
        stop("a softmax along the axis that is too wide; compute it on the host");
    }
    std::vector<mil::Value> values;
    for (const mil::Value& one : px->values) {
        values.push_back(emission_.again(*operation_, {{"x", one}}).front());
    }
    finish(px->axis, px->sizes, std::move(values), "softmax: " + in_parts(px->sizes, "positions"));
}

void Splitter::take_pointwise(int wide) {
    const Shape& y = operation_->results.front().type.shape;
    int axis = wide;
    Sizes sizes;
    for (const auto& argument : operation_->arguments) {
        if (const Parts* parts = parts_of(argument.name)) {
            const int here = parts->axis + y.rank() - in_->type(argument.name).shape.rank();
            if ((axis >= 0 && here != axis) || (!sizes.empty() && sizes != parts->sizes)) {
                stop(fmt::format("the operands of {} are in different parts", operation_->op));
            }
            axis = here;
            sizes = parts->sizes;
        }
    }
    if (sizes.empty()) {
        sizes = chunks_of(operation_->results.front().type, axis);
    }
    std::map<std::string, std::vector<mil::Value>, std::less<>> cut;
    for (const auto& argument : operation_->arguments) {
        const Shape& shape = in_->type(argument.name).shape;
        const int own = axis - (y.rank() - shape.rank());
        if (own >= 0 && shape[own] == y[axis] && shape[own] != 1) {
            cut[argument.name] = cut_operand(argument.name, own, sizes);
        }
    }
    std::vector<mil::Value> values;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        std::map<std::string, mil::Value, std::less<>> changed;
        for (const auto& [name, parts] : cut) {
            changed[name] = parts[i];
        }
        values.push_back(emission_.again(*operation_, changed).front());
    }
    finish(axis, sizes, std::move(values), operation_->op + ": " + in_parts(sizes, "positions"));
}

}  // namespace pome::device::legalizing
