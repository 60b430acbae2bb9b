#include "device/legalize/splitter.h"

#include <algorithm>

#include "device/legalize/parts.h"

namespace pome::device::legalizing {

Sizes chunks(std::int64_t size, std::int64_t limit) {
    const std::int64_t least = (size + limit - 1) / limit;
    for (std::int64_t n = least; n <= 2 * least; ++n) {
        if (size % n == 0) {
            return Sizes(static_cast<std::size_t>(n), size / n);
        }
    }
    std::int64_t chunk = (size + least - 1) / least;
    chunk = std::min((chunk + 31) / 32 * 32, limit);
    Sizes sizes;
    for (std::int64_t at = 0; at < size; at += chunk) {
        sizes.push_back(std::min(chunk, size - at));
    }
    return sizes;
}

namespace {

constexpr std::string_view pointwise[] = {
    "add",           "sub",        "mul",   "real_div",   "maximum", "minimum",   "pow",
    "select",        "sigmoid",    "tanh",  "gelu",       "silu",    "erf",       "exp",
    "exp2",          "sqrt",       "log",   "rsqrt",      "inverse", "sin",       "cos",
    "abs",           "sign",       "floor", "ceil",       "round",   "square",    "relu",
    "clip",          "relu6",      "elu",   "leaky_relu", "cast",    "softplus",  "softsign",
    "identity",      "threshold",  "equal", "less",       "greater", "not_equal", "less_equal",
    "greater_equal", "logical_not"};

template <typename List>
bool contains(const List& list, std::string_view op) {
    return std::find(std::begin(list), std::end(list), op) != std::end(list);
}

}  // namespace

Splitter::Splitter(const mil::Function& from, const Work& work, mil::WeightFiles& weights)
    : from_(from), work_(work), weights_(weights), emission_(from, weights) {}

mil::Function Splitter::run() {
    for (const auto& parameter : from_.parameters) {
        take(parameter);
    }
    for (const auto& operation : from_.operations) {
        if (operation.op == "const" || mil::find_schema(operation.op) == nullptr) {
            refuse_parts_of(operation);
            emission_.keep(operation);
            continue;
        }
        operation_ = &operation;
        const mil::Arguments in(operation, *mil::find_schema(operation.op), emission_.lookup());
        in_ = &in;
        if (!take(operation)) {
            emission_.keep(operation);
        }
    }
    return emission_.take(take_outputs());
}

void Splitter::take(const mil::NamedType& parameter) {
    const int axis = wide_axis(parameter.type);
    if (axis < 0) {
        emission_.parameter(parameter);
        return;
    }
    Parts parts{axis, chunks_of(parameter.type, axis), {}};
    BoundaryChange& change = change_of(boundary, true, parameter);
    const BoundaryPart whole = part_of(boundary, true, parameter);
    std::erase_if(change.parts, [&](const auto& part) { return part.name == parameter.name; });
    std::vector<mil::NamedType> inputs;
    std::int64_t at = 0;
    for (const std::int64_t size : parts.sizes) {
        const std::string name =
            emission_.fresh(fmt::format("{}_{}", parameter.name, inputs.size()));
        inputs.push_back({name, parameter.type});
        inputs.back().type.shape[axis] = size;
        add_part(change, whole, inputs.back(), axis, at, size);
        at += size;
    }
    emission_.parameter_instead(inputs);
    for (const auto& input : inputs) {
        parts.values.push_back(emission_.value(input.name));
    }
    emission_.declare(parameter);
    changes.push_back({std::string(wide_info.rule), from_.position.line, parameter.name,
                       fmt::format("{} became {} inputs of {} along axis {}", parameter.type.text(),
                                   inputs.size(), parts.sizes.front(), axis),
                       Equality::bits});
    parts_[parameter.name] = std::move(parts);
}

std::vector<std::string> Splitter::take_outputs() {
    std::vector<std::string> outputs;
    for (const auto& name : from_.outputs) {
        const auto found = parts_.find(name);
        if (found == parts_.end()) {
            outputs.push_back(name);
            continue;
        }
        const Parts& parts = found->second;
        const mil::NamedType old{name, *from_.find_type(name)};
        BoundaryChange& change = change_of(boundary, false, old);
        const BoundaryPart whole = part_of(boundary, false, old);
        std::erase_if(change.parts, [&](const auto& part) { return part.name == name; });
        std::int64_t at = 0;
        for (std::size_t i = 0; i < parts.values.size(); ++i) {
            const mil::Value& value = parts.values[i];
            if (emission_.producer(value.name) == nullptr) {
                stop(fmt::format("output '{}' is an input", name));
            }
            outputs.push_back(value.name);
            add_part(change, whole, {value.name, value.type}, parts.axis, at, parts.sizes[i]);
            at += parts.sizes[i];
        }
    }
    return outputs;
}

void Splitter::add_part(BoundaryChange& change, const BoundaryPart& whole,
                        const mil::NamedType& value, int axis, std::int64_t at, std::int64_t size) {
    BoundaryPart part = whole;
    part.name = value.name;
    part.type = value.type;
    part.begin[static_cast<std::size_t>(axis)] += at;
    part.size[axis] = size;
    part.placed = part.size;
    change.parts.push_back(std::move(part));
}

bool Splitter::take(const mil::Operation& operation) {
    int wide = -1;
    for (const auto& result : operation.results) {
        wide = std::max(wide, wide_axis(result.type));
    }
    const std::string& op = operation.op;
    const bool parted = has_parts();
    if (op == "matmul") {
        return take_matmul(wide);
    }
    if (op == "conv") {
        return take_conv(wide);
    }
    if (op == "linear") {
        return take_linear(wide);
    }
    if (wide < 0 && !parted) {
        return false;
    }
    if (op == "concat") {
        take_concat();
    } else if (op == "transpose") {
        take_transpose(wide);
    } else if (op == "reshape" || op == "expand_dims" || op == "squeeze") {
        take_view(wide);
    } else if (op == "reduce_sum" || op == "reduce_max" || op == "reduce_min") {
        take_reduction();
    } else if (op == "softmax") {
        take_softmax(wide);
    } else if (contains(pointwise, op)) {
        take_pointwise(wide);
    } else {
        stop(fmt::format("{} with {} cannot be done in parts", op,
                         wide >= 0 ? "so wide a result" : "so wide an operand"));
    }
    return true;
}

void Splitter::refuse_parts_of(const mil::Operation& operation) const {
    for (const auto& argument : operation.arguments) {
        for (const auto& operand : argument.operands) {
            const auto* name = std::get_if<std::string>(&operand);
            if (name != nullptr && parts_.contains(*name)) {
                stop(fmt::format("'{}' is too wide, and {} cannot be done in parts", *name,
                                 operation.op));
            }
        }
    }
}

int Splitter::wide_axis(const mil::Type& type) const {
    int found = -1;
    if (!type.is_tensor() || !type.shape.is_static()) {
        return found;
    }
    for (int axis = 0; axis < type.shape.rank(); ++axis) {
        const std::int64_t limit = axis_limit(limits(), type.shape.rank(), axis);
        if (limit > 0 && type.shape[axis] > limit) {
            if (found >= 0) {
                stop(fmt::format("{} is too wide along two axes", type.text()));
            }
            found = axis;
        }
    }
    return found;
}

Sizes Splitter::chunks_of(const mil::Type& type, int axis) const {
    return chunks(type.shape[axis], axis_limit(limits(), type.shape.rank(), axis));
}

void Splitter::note(std::string what, Equality equality) {
    changes.push_back({std::string(wide_info.rule), operation_->position.line,
                       operation_->results.front().name, std::move(what), equality});
}

const Splitter::Parts* Splitter::parts_of(std::string_view argument) const {
    const mil::Argument* given = operation_->find_argument(argument);
    if (given == nullptr || given->operands.empty()) {
        return nullptr;
    }
    const auto* name = std::get_if<std::string>(&given->operands.front());
    const auto found = name == nullptr ? parts_.end() : parts_.find(*name);
    return found == parts_.end() ? nullptr : &found->second;
}

bool Splitter::has_parts() const {
    for (const auto& argument : operation_->arguments) {
        for (const auto& operand : argument.operands) {
            const auto* name = std::get_if<std::string>(&operand);
            if (name != nullptr && parts_.contains(*name)) {
                return true;
            }
        }
    }
    return false;
}

std::vector<mil::Value> Splitter::cut_operand(std::string_view argument, int axis,
                                              const Sizes& sizes) {
    const mil::Argument* given = operation_->find_argument(argument);
    const auto* name = std::get_if<std::string>(&given->operands.front());
    if (name != nullptr) {
        if (const auto found = parts_.find(*name); found != parts_.end()) {
            if (found->second.axis != axis || found->second.sizes != sizes) {
                stop(fmt::format("'{}' is too wide, and {} needs it in other parts", *name,
                                 operation_->op));
            }
            return found->second.values;
        }
    }
    std::vector<mil::Value> values;
    std::int64_t at = 0;
    if (const mil::Literal* constant = in_->constant(argument)) {
        if (!is_readable(*constant, weights_)) {
            stop(fmt::format("the weight file of {}'s {} was not given", operation_->op, argument));
        }
        const mil::Literal plain{constant->type, weights_.resolve(*constant)};
        const std::string hint = name == nullptr ? std::string(argument) : *name;
        for (const std::int64_t size : sizes) {
            values.push_back(emission_.constant_like(*constant, cut(plain, axis, at, size),
                                                     fmt::format("{}_{}", hint, values.size())));
            at += size;
        }
        return values;
    }
    const mil::Operation* producer = name == nullptr ? nullptr : emission_.producer(*name);
    if (producer != nullptr && producer->op.starts_with("constexpr_")) {
        stop(fmt::format("the weight '{}' comes from {}; write it out as a const", *name,
                         producer->op));
    }
    const mil::Value whole = *emission_.operand(*operation_, argument);
    Shape size = whole.shape();
    std::vector<std::int64_t> begin(static_cast<std::size_t>(size.rank()), 0);
    for (const std::int64_t count : sizes) {
        size[axis] = count;
        begin[static_cast<std::size_t>(axis)] = at;
        values.push_back(emission_.ops().slice(whole, begin, size.sizes()));
        at += count;
    }
    return values;
}

void Splitter::finish(int axis, const Sizes& sizes, std::vector<mil::Value> values,
                      const std::string& what) {
    const mil::NamedType& result = operation_->results.front();
    if (wide_axis(result.type) < 0) {
        note(fmt::format("{}, joined along axis {}", what, axis), Equality::bits);
        emission_.replace(*operation_, {emission_.ops().concat(values, axis)});
        return;
    }
    note(what, Equality::bits);
    emission_.drop(*operation_);
    parts_[result.name] = {axis, sizes, std::move(values)};
}

std::string Splitter::in_parts(const Sizes& sizes, std::string_view unit) const {
    const bool equal = std::all_of(sizes.begin(), sizes.end(),
                                   [&](std::int64_t size) { return size == sizes.front(); });
    std::int64_t total = 0;
    for (const std::int64_t size : sizes) {
        total += size;
    }
    return fmt::format("{} {} in {} chunks of {}{}", total, unit, sizes.size(),
                       equal ? "" : "at most ", *std::max_element(sizes.begin(), sizes.end()));
}

}  // namespace pome::device::legalizing
