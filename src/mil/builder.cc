#include "mil/builder.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/error.h"

namespace pome::mil {
namespace {

/// Equal for equal literals: what shared constants are found by. Empty for those that are not
/// shared.
std::string key_of(const Literal& literal) {
    std::string key = literal.type.text() + "|";
    if (const auto* bytes = std::get_if<Literal::Bytes>(&literal.payload)) {
        if (bytes->size() > 256) {
            return "";
        }
        key.append(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    } else if (const auto* strings = std::get_if<Literal::Strings>(&literal.payload)) {
        for (const auto& text : *strings) {
            key += fmt::format("{}:{}|", text.size(), text);
        }
    } else if (const auto* blob = std::get_if<Blob>(&literal.payload)) {
        key += blob->path + "@" + std::to_string(blob->offset);
    } else {
        return "";
    }
    return key;
}

/// A hint that may be a name: letters, digits and underscores, not a word of the language ("fp16").
std::string identifier(std::string_view hint) {
    std::string name;
    for (const char c : hint) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        name += letter || (c >= '0' && c <= '9') ? c : '_';
    }
    if (name.empty() || (name[0] >= '0' && name[0] <= '9')) {
        name.insert(0, "_");
    }
    for (const std::string_view word :
         {"true", "false", "tensor", "list", "tuple", "dict", "state", "func", "program"}) {
        if (name == word) {
            return "_" + name;
        }
    }
    return dtype_from_name(name) ? "_" + name : name;
}

}  // namespace

Builder::Builder(std::string function_name, std::string opset) {
    function_.name = std::move(function_name);
    function_.opset = std::move(opset);
}

std::string Builder::unique(std::string_view hint) {
    const std::string base = identifier(hint);
    std::string name;
    int& count = counters_[base];
    do {
        name = count == 0 ? base : fmt::format("{}_{}", base, count);
        ++count;
    } while (known_.contains(name) || reserved_.contains(name));
    return name;
}

Value Builder::input(std::string name, Type type) {
    if (known_.contains(name)) {
        fail(Code::malformed_program, "mil.builder", "'{}' is defined twice", name);
    }
    known_[name] = {type, nullptr, nullptr};
    function_.parameters.push_back({name, type});
    return {std::move(name), std::move(type)};
}

void Builder::output(const Value& value) {
    if (!known_.contains(value.name)) {
        fail(Code::malformed_program, "mil.builder", "output '{}' is not defined", value.name);
    }
    function_.outputs.push_back(value.name);
}

Value Builder::rename(const Value& value, std::string name) {
    if (name == value.name) {
        return value;
    }
    const auto old = known_.find(value.name);
    if (old == known_.end()) {
        fail(Code::malformed_program, "mil.builder", "'{}' is not defined", value.name);
    }
    if (known_.contains(name)) {
        fail(Code::malformed_program, "mil.builder", "'{}' is defined twice", name);
    }
    const Known known = old->second;
    known_.erase(old);
    known_[name] = known;
    const auto change = [&](std::string& text) {
        if (text == value.name) {
            text = name;
        }
    };
    for (auto& parameter : function_.parameters) {
        change(parameter.name);
    }
    for (auto& operation : function_.operations) {
        for (auto& result : operation.results) {
            change(result.name);
        }
        for (auto& argument : operation.arguments) {
            for (auto& operand : argument.operands) {
                if (auto* text = std::get_if<std::string>(&operand)) {
                    change(*text);
                }
            }
        }
    }
    for (auto& output : function_.outputs) {
        change(output);
    }
    for (auto& [key, shared] : shared_constants_) {
        change(shared.name);
    }
    return {std::move(name), known.type};
}

Value Builder::constant(Literal literal, std::string_view hint) {
    const std::string key = key_of(literal);
    if (!key.empty()) {
        if (const auto found = shared_constants_.find(key); found != shared_constants_.end()) {
            return found->second;
        }
    }
    Operation operation;
    operation.op = "const";
    const std::string name = unique(hint);
    operation.attributes.push_back({"name", Literal::text(name)});
    operation.attributes.push_back({"val", std::move(literal)});
    const Type type = operation.attributes.back().value.type;
    operation.results.push_back({name, type});
    function_.operations.push_back(std::move(operation));
    const auto stored =
        std::make_shared<const Literal>(function_.operations.back().attributes.back().value);
    literals_.push_back(stored);
    known_[name] = {type, stored.get(), nullptr};
    const Value value{name, type};
    if (!key.empty()) {
        shared_constants_[key] = value;
    }
    return value;
}

Value Builder::text(std::string value) {
    const std::string hint = value;
    return constant(Literal::text(std::move(value)), hint);
}
Value Builder::boolean(bool value) {
    return constant(Literal::boolean(value), value ? "yes" : "no");
}
Value Builder::integer(std::int32_t value) {
    return constant(Literal::integer(value), "i");
}
Value Builder::integers(const std::vector<std::int64_t>& values) {
    return constant(Literal::integers(values), "list");
}
Value Builder::number(DType dtype, double value) {
    return constant(Literal::number(dtype, value), "c");
}

Value Builder::call(std::string_view op,
                    std::initializer_list<std::pair<std::string_view, Value>> arguments,
                    std::string_view hint) {
    std::vector<CallArgument> list;
    for (const auto& [name, value] : arguments) {
        list.push_back({std::string(name), {value}, false});
    }
    return call_many(op, list, hint).front();
}

std::vector<Value> Builder::call_many(std::string_view op,
                                      const std::vector<CallArgument>& arguments,
                                      std::string_view hint) {
    Operation operation;
    operation.op = op;
    for (const auto& argument : arguments) {
        Argument made{argument.name, {}, argument.is_tuple};
        for (const Value& value : argument.values) {
            made.operands.emplace_back(value.name);
        }
        operation.arguments.push_back(std::move(made));
    }
    return append(std::move(operation), hint);
}

std::vector<Value> Builder::append(Operation operation, std::string_view hint) {
    const Schema* schema = find_schema(operation.op);
    if (schema == nullptr) {
        fail(Code::malformed_program, "mil.builder", "unknown op '{}'", operation.op);
    }
    const std::string name = unique(hint.empty() ? operation.op : hint);
    operation.results.assign(1, {name, {}});  // named in errors
    const Arguments bound(operation, *schema, [this](std::string_view value) -> const Known* {
        const auto found = known_.find(value);
        return found == known_.end() ? nullptr : &found->second;
    });
    const auto types = schema->infer(bound);
    operation.results.clear();
    std::vector<Value> results;
    for (std::size_t i = 0; i < types.size(); ++i) {
        const std::string result = i == 0 ? name : unique(fmt::format("{}_part{}", name, i));
        known_[result] = {types[i], nullptr, nullptr};
        operation.results.push_back({result, types[i]});
        results.push_back({result, types[i]});
    }
    operation.attributes.push_back({"name", Literal::text(name)});
    function_.operations.push_back(std::move(operation));
    return results;
}

Value Builder::add(const Value& x, const Value& y) {
    return call("add", {{"x", x}, {"y", y}});
}
Value Builder::sub(const Value& x, const Value& y) {
    return call("sub", {{"x", x}, {"y", y}});
}
Value Builder::mul(const Value& x, const Value& y) {
    return call("mul", {{"x", x}, {"y", y}});
}
Value Builder::real_div(const Value& x, const Value& y) {
    return call("real_div", {{"x", x}, {"y", y}});
}
Value Builder::pow(const Value& x, double exponent) {
    return call("pow", {{"x", x}, {"y", number(x.type.dtype, exponent)}});
}
Value Builder::scale(const Value& x, double factor) {
    return mul(x, number(x.type.dtype, factor));
}
Value Builder::unary(std::string_view op, const Value& x) {
    return call(op, {{"x", x}});
}

Value Builder::matmul(const Value& x, const Value& y, bool transpose_x, bool transpose_y) {
    return call("matmul", {{"transpose_x", boolean(transpose_x)},
                           {"transpose_y", boolean(transpose_y)},
                           {"x", x},
                           {"y", y}});
}

Value Builder::conv(const Value& x, const Value& weight, const Conv& form) {
    const bool padded =
        std::any_of(form.pad.begin(), form.pad.end(), [](std::int64_t n) { return n != 0; });
    return call("conv", {{"dilations", integers(form.dilations)},
                         {"groups", integer(static_cast<std::int32_t>(form.groups))},
                         {"pad", integers(form.pad)},
                         {"pad_type", text(padded ? "custom" : "valid")},
                         {"strides", integers(form.strides)},
                         {"weight", weight},
                         {"x", x}});
}

Value Builder::softmax(const Value& x, int axis) {
    return call("softmax", {{"axis", integer(axis)}, {"x", x}});
}

Value Builder::reduce_sum(const Value& x, const std::vector<std::int64_t>& axes, bool keep_dims) {
    return call("reduce_sum",
                {{"axes", integers(axes)}, {"keep_dims", boolean(keep_dims)}, {"x", x}});
}

Value Builder::reshape(const Value& x, const Shape& shape) {
    if (x.shape() == shape) {
        return x;
    }
    return call("reshape", {{"shape", integers(shape.sizes())}, {"x", x}});
}

Value Builder::transpose(const Value& x, const std::vector<std::int64_t>& perm) {
    return call("transpose", {{"perm", integers(perm)}, {"x", x}});
}

Value Builder::slice(const Value& x, const std::vector<std::int64_t>& begin,
                     const std::vector<std::int64_t>& size) {
    return call("slice_by_size", {{"begin", integers(begin)}, {"size", integers(size)}, {"x", x}},
                "slice");
}

Value Builder::concat(const std::vector<Value>& values, int axis) {
    return call_many("concat", {{"axis", {integer(axis)}, false},
                                {"interleave", {boolean(false)}, false},
                                {"values", values, true}})
        .front();
}

Value Builder::cast(const Value& x, DType dtype) {
    return call("cast", {{"dtype", text(std::string(name(dtype)))}, {"x", x}});
}

void Builder::copy(const Operation& operation, std::map<std::string, Value, std::less<>>& names) {
    if (operation.op == "const") {
        const Literal* literal = operation.find_attribute("val");
        names[operation.results.front().name] = constant(*literal, operation.results.front().name);
        return;
    }
    Operation copied;
    copied.op = operation.op;
    for (const auto& attribute :
         operation.attributes) {  // the data of constexpr ops; append() names the copy
        if (attribute.name != "name") {
            copied.attributes.push_back(attribute);
        }
    }
    for (const auto& argument : operation.arguments) {
        Argument made{argument.name, {}, argument.is_tuple};
        for (const auto& operand : argument.operands) {
            if (const auto* literal = std::get_if<Literal>(&operand)) {
                made.operands.emplace_back(constant(*literal).name);
            } else {
                const auto found = names.find(std::get<std::string>(operand));
                if (found == names.end()) {
                    fail(Code::malformed_program, "mil.builder",
                         "'{}' has no counterpart to copy {}", std::get<std::string>(operand),
                         where(operation));
                }
                made.operands.emplace_back(found->second.name);
            }
        }
        copied.arguments.push_back(std::move(made));
    }
    const auto results =
        append(std::move(copied),
               operation.results.empty() ? std::string_view{} : operation.results.front().name);
    if (results.size() != operation.results.size()) {
        fail(Code::malformed_program, "mil." + operation.op, "gives {} results, {} are declared {}",
             results.size(), operation.results.size(), where(operation));
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
        names[operation.results[i].name] = results[i];
    }
}

Function Builder::take() {
    known_.clear();
    counters_.clear();
    reserved_.clear();
    shared_constants_.clear();
    literals_.clear();
    return std::exchange(function_, Function{});
}

Program make_program(Function function, Dialect dialect) {
    Program program;
    program.dialect = dialect;
    program.version = dialect == Dialect::terse ? "1.3" : "1.0";
    Type pair;
    pair.kind = Type::Kind::dictionary;
    pair.items = {Type::scalar(DType::string), Type::scalar(DType::string)};
    Literal::Entries entries;
    const auto add = [&](const char* key, const char* value) {
        entries.push_back({Literal::text(key), Literal::text(value)});
    };
    if (dialect == Dialect::terse) {
        add("coremlc-component-MIL", "3510.2.1");
    }
    add("coremlc-version", "3505.4.1");
    if (dialect == Dialect::terse) {
        add("coremltools-component-milinternal", "");
        add("coremltools-version", "9.0");
    }
    program.attributes.push_back({"buildInfo", {pair, std::move(entries)}});
    program.functions.push_back(std::move(function));
    return program;
}

}  // namespace pome::mil
