#include "device/legalize/emission.h"

#include <algorithm>

namespace pome::device::legalizing {
namespace {

constexpr std::string_view here = "device.legalize";

}  // namespace

void Work::refuse(std::string_view rule, const mil::Operation& operation,
                  std::string reason) const {
    refusals.push_back({std::string(rule), operation.position.line,
                        operation.results.empty() ? operation.op : operation.results.front().name,
                        std::move(reason)});
}

Emission::Emission(const mil::Function& from, mil::WeightFiles& weights)
    : from_(from), weights_(weights), builder_(from.name, from.opset) {
    function_.name = from.name;
    function_.opset = from.opset;
    function_.attributes = from.attributes;
    function_.position = from.position;
    outputs_.insert(from.outputs.begin(), from.outputs.end());
    const auto take_name = [&](const mil::NamedType& value) {
        names_.insert(value.name);
        builder_.reserve(value.name);
    };
    std::for_each(from.parameters.begin(), from.parameters.end(), take_name);
    for (const auto& operation : from.operations) {
        std::for_each(operation.results.begin(), operation.results.end(), take_name);
    }
}

const mil::Known* Emission::known(std::string_view name) const {
    const auto found = known_.find(name);
    return found == known_.end() ? nullptr : &found->second;
}

const mil::Operation* Emission::producer(std::string_view name) const {
    const auto alias = aliases_.find(name);
    const auto found = producers_.find(alias == aliases_.end() ? name : alias->second);
    return found == producers_.end() ? nullptr : &function_.operations[found->second];
}

mil::Value Emission::value(const std::string& name) {
    if (const auto alias = aliases_.find(name); alias != aliases_.end()) {
        return value(alias->second);
    }
    if (const auto found = handles_.find(name); found != handles_.end()) {
        return found->second;
    }
    const mil::Known* found = known(name);
    if (found == nullptr) {
        fail(Code::malformed_program, here, "'{}' is not defined before it is used", name);
    }
    // The builder wants constants of its own, to see their elements.
    const mil::Value handle = found->constant != nullptr ? builder_.constant(*found->constant, name)
                                                         : builder_.input(name, found->type);
    handles_[name] = handle;
    return handle;
}

std::vector<mil::Value> Emission::operands(const mil::Operation& operation,
                                           std::string_view argument) {
    std::vector<mil::Value> values;
    if (const mil::Argument* given = operation.find_argument(argument)) {
        for (const auto& operand : given->operands) {
            if (const auto* literal = std::get_if<mil::Literal>(&operand)) {
                values.push_back(builder_.constant(*literal, argument));
            } else {
                values.push_back(value(std::get<std::string>(operand)));
            }
        }
    }
    return values;
}

std::optional<mil::Value> Emission::operand(const mil::Operation& operation,
                                            std::string_view argument) {
    auto values = operands(operation, argument);
    return values.empty() ? std::nullopt : std::optional(std::move(values.front()));
}

std::vector<mil::Value> Emission::again(
    const mil::Operation& operation, const std::map<std::string, mil::Value, std::less<>>& changed,
    const std::set<std::string, std::less<>>& dropped) {
    std::vector<mil::Builder::CallArgument> arguments;
    for (const auto& argument : operation.arguments) {
        if (changed.contains(argument.name) || dropped.contains(argument.name)) {
            continue;
        }
        arguments.push_back({argument.name, operands(operation, argument.name), argument.is_tuple});
    }
    for (const auto& [name, value] : changed) {
        arguments.push_back({name, {value}, false});
    }
    return builder_.call_many(
        operation.op, arguments,
        operation.results.empty() ? std::string_view{} : operation.results.front().name);
}

mil::Value Emission::constant_like(const mil::Literal& like, mil::Literal literal,
                                   const std::string& name) {
    if (!like.is_blob()) {
        return builder_.constant(std::move(literal), name);
    }
    std::string path;
    for (int i = 0; path.empty() || weights_.files().contains(path); ++i) {
        path =
            fmt::format("@model_path/weights/{}{}.bin", name, i == 0 ? "" : fmt::format("_{}", i));
    }
    return builder_.constant(
        weights_.store(path, literal.type.dtype, literal.type.shape, literal.numbers()), name);
}

void Emission::define(const mil::NamedType& value, const mil::Literal* constant) {
    known_[value.name] = {value.type, constant, nullptr};
}

void Emission::parameter(const mil::NamedType& parameter) {
    function_.parameters.push_back(parameter);
    define(parameter);
}

void Emission::parameter_instead(const std::vector<mil::NamedType>& parameters) {
    for (const auto& one : parameters) {
        function_.parameters.push_back(one);
        names_.insert(one.name);
        if (known_.contains(one.name)) {
            fail(Code::malformed_program, here, "'{}' is defined twice", one.name);
        }
        define(one);
    }
}

void Emission::alias(const mil::NamedType& old, const mil::Value& value, mil::Position position) {
    define(old);
    define({value.name, value.type});
    handles_[value.name] = value;
    aliases_[old.name] = value.name;
    flush(position);
}

void Emission::flush(mil::Position position) {
    const auto& made = builder_.function().operations;
    for (; flushed_ < made.size(); ++flushed_) {
        mil::Operation operation = made[flushed_];
        operation.position = position;
        for (const auto& result : operation.results) {
            producers_[result.name] = function_.operations.size();
            names_.insert(result.name);
        }
        function_.operations.push_back(std::move(operation));
    }
}

void Emission::keep(const mil::Operation& operation) {
    flush(operation.position);
    mil::Operation kept = operation;
    for (auto& argument : kept.arguments) {
        for (auto& operand : argument.operands) {
            if (auto* name = std::get_if<std::string>(&operand)) {
                if (const auto alias = aliases_.find(*name); alias != aliases_.end()) {
                    *name = alias->second;
                }
            }
        }
    }
    for (const auto& result : operation.results) {
        producers_[result.name] = function_.operations.size();
        // Literals are looked up in the old function, whose operations stay where they are.
        define(result, operation.op == "const" ? operation.find_attribute("val") : nullptr);
    }
    function_.operations.push_back(std::move(kept));
}

void Emission::replace(const mil::Operation& operation, const std::vector<mil::Value>& results) {
    if (results.size() != operation.results.size()) {
        fail(Code::malformed_program, here, "a rewrite gives {} results for {} {}", results.size(),
             operation.results.size(), mil::where(operation));
    }
    std::vector<mil::Value> named = results;
    for (std::size_t i = 0; i < named.size(); ++i) {
        const mil::NamedType& old = operation.results[i];
        if (named[i].type != old.type) {
            fail(Code::malformed_program, here, "a rewrite gives {} for {} {}",
                 named[i].type.text(), old.type.text(), mil::where(operation));
        }
        // A value that was there before keeps its name; this one becomes another name for it,
        // unless the world outside knows it by this name.
        const auto& made = builder_.function().operations;
        const bool is_new = std::any_of(
            made.begin() + static_cast<std::ptrdiff_t>(flushed_), made.end(),
            [&](const mil::Operation& one) {
                return one.op != "const" &&
                       std::any_of(one.results.begin(), one.results.end(),
                                   [&](const auto& r) { return r.name == named[i].name; });
            });
        if (!is_new && is_output(old.name)) {
            named[i] = builder_.call(
                "reshape", {{"shape", builder_.integers(old.type.shape.sizes())}, {"x", named[i]}});
        }
        if (is_new || is_output(old.name)) {
            handles_[old.name] = builder_.rename(named[i], old.name);
        } else {
            aliases_[old.name] = named[i].name;
            if (known(named[i].name) == nullptr) {
                define({named[i].name, named[i].type});
            }
            handles_[named[i].name] = named[i];
        }
        define(old);
    }
    flush(operation.position);
}

void Emission::drop(const mil::Operation& operation) {
    flush(operation.position);
    for (const auto& result : operation.results) {
        define(result);
    }
}

mil::Function Emission::take(std::optional<std::vector<std::string>> outputs) {
    flush(from_.position);
    function_.outputs = outputs ? std::move(*outputs) : from_.outputs;
    return std::move(function_);
}

std::string Emission::fresh(std::string_view hint) {
    std::string name(hint);
    for (int i = 1; names_.contains(name); ++i) {
        name = fmt::format("{}_{}", hint, i);
    }
    names_.insert(name);
    builder_.reserve(name);
    return name;
}

mil::Literal cut(const mil::Literal& literal, int axis, std::int64_t begin, std::int64_t count) {
    const auto& bytes = std::get<mil::Literal::Bytes>(literal.payload);
    const Shape& shape = literal.type.shape;
    std::int64_t outer = 1, inner = 1;
    for (int i = 0; i < shape.rank(); ++i) {
        (i < axis ? outer : inner) *= i == axis ? 1 : shape[i];
    }
    const auto row = static_cast<std::size_t>(inner) * size_in_memory(literal.type.dtype);
    mil::Literal part{literal.type, mil::Literal::Bytes{}};
    part.type.shape[axis] = count;
    auto& taken = std::get<mil::Literal::Bytes>(part.payload);
    taken.reserve(static_cast<std::size_t>(outer * count) * row);
    for (std::int64_t i = 0; i < outer; ++i) {
        const auto from =
            bytes.begin() +
            static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i * shape[axis] + begin) * row);
        taken.insert(taken.end(), from,
                     from + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(count) * row));
    }
    return part;
}

bool is_readable(const mil::Literal& literal, const mil::WeightFiles& weights) {
    const auto* blob = std::get_if<mil::Blob>(&literal.payload);
    return blob == nullptr ? std::holds_alternative<mil::Literal::Bytes>(literal.payload)
                           : weights.files().contains(blob->path);
}

std::int64_t axis_limit(const Limits& limits, int rank, int axis) {
    if (rank >= 4 && axis == 1) {
        return limits.max_channels;
    }
    if (rank >= 4 && axis == 0) {
        return limits.max_batch;
    }
    return limits.max_width;
}

mil::Function without_dead(mil::Function function, const mil::Function& original) {
    std::set<std::string, std::less<>> old, used(function.outputs.begin(), function.outputs.end());
    for (const auto& operation : original.operations) {
        for (const auto& result : operation.results) {
            old.insert(result.name);
        }
    }
    std::vector<mil::Operation> kept;
    for (auto operation = function.operations.rbegin(); operation != function.operations.rend();
         ++operation) {
        const auto& results = operation->results;
        const bool needed = std::any_of(results.begin(), results.end(), [&](const auto& result) {
            return used.contains(result.name) ||
                   (operation->op != "const" && old.contains(result.name));
        });
        if (!needed) {
            continue;
        }
        for (const auto& argument : operation->arguments) {
            for (const auto& operand : argument.operands) {
                if (const auto* name = std::get_if<std::string>(&operand)) {
                    used.insert(*name);
                }
            }
        }
        kept.push_back(std::move(*operation));
    }
    function.operations.assign(std::make_move_iterator(kept.rbegin()),
                               std::make_move_iterator(kept.rend()));
    return function;
}

}  // namespace pome::device::legalizing
