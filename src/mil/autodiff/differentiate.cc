#include <algorithm>
#include <set>

#include "base/error.h"
#include "mil/autodiff/autodiff.h"
#include "mil/autodiff/rules.h"
#include "mil/passes/decompose.h"

namespace pome::mil::autodiff {
namespace {

constexpr std::string_view here = "mil.autodiff";

/// Ops whose results are cheaper to compute again than to keep, when what they read is at hand.
bool is_cheap(std::string_view op) {
    static const std::set<std::string_view> cheap{
        "reshape", "transpose", "slice_by_size", "concat",  "split", "cast", "expand_dims",
        "squeeze", "identity",  "pad",           "add",     "sub",   "mul",  "real_div",
        "maximum", "minimum",   "pow",           "sigmoid", "tanh",  "relu", "silu",
        "gelu",    "erf",       "exp",           "exp2",    "log",   "sqrt", "rsqrt",
        "inverse", "square",    "abs",           "sign",    "sin",   "cos",  "softplus"};
    return cheap.contains(op);
}

class Differentiator {
  public:
    Differentiator(const Function& function, const Options& options)
        : function_(function), options_(options) {
        for (const auto& parameter : function.parameters) {
            known_[parameter.name] = {parameter.type};
        }
        for (const auto& operation : function.operations) {
            const Literal* constant =
                operation.op == "const" ? operation.find_attribute("val") : nullptr;
            for (const auto& result : operation.results) {
                known_[result.name] = {result.type, constant};
                producer_[result.name] = &operation;
            }
        }
        // Forward values may become inputs of the backward function at any time, under their own
        // names.
        for (const auto& [name, known] : known_) {
            backward_.reserve(name);
            backward_.reserve("d_" + name);
        }
        active_.insert(options.with_respect_to.begin(), options.with_respect_to.end());
        for (const auto& wanted : options.with_respect_to) {
            if (!is_parameter(wanted)) {
                fail(Code::invalid_argument, here, "'{}' is no parameter of '{}'", wanted,
                     function.name);
            }
        }
        for (const auto& value : options.stop_gradients) {
            if (!known_.contains(value)) {
                fail(Code::invalid_argument, here, "'{}' is no value of '{}'", value,
                     function.name);
            }
        }
        for (const auto& operation : function.operations) {
            bool any = false;
            for_operands(operation,
                         [&](const std::string& name) { any = any || active_.contains(name); });
            if (any) {
                for (const auto& result : operation.results) {
                    if (!options.stop_gradients.contains(result.name)) {
                        active_.insert(result.name);
                    }
                }
            }
        }
    }

    Differentiated run() {
        for (const auto& output : function_.outputs) {
            if (active_.contains(output)) {
                gradients_[output] = backward_.input("d_" + output, known_.at(output).type);
            }
        }
        for (auto operation = function_.operations.rbegin();
             operation != function_.operations.rend(); ++operation) {
            visit(*operation);
        }
        give_gradients();
        Differentiated result;
        result.forward = function_;
        for (const auto& name : saved_) {
            auto& outputs = result.forward.outputs;
            if (std::find(outputs.begin(), outputs.end(), name) == outputs.end()) {
                outputs.push_back(name);
            }
        }
        result.saved = saved_;
        finish_names(result);
        result.backward = backward_.take();
        result.backward.opset = function_.opset;
        return result;
    }

  private:
    class RuleContext;

    template <typename Visit>
    static void for_operands(const Operation& operation, Visit visit) {
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                if (const auto* name = std::get_if<std::string>(&operand)) {
                    visit(*name);
                }
            }
        }
    }

    bool is_parameter(std::string_view name) const {
        return std::any_of(function_.parameters.begin(), function_.parameters.end(),
                           [&](const NamedType& parameter) { return parameter.name == name; });
    }

    /// The value whose elements, in the same order, `name` is a view of.
    std::string underlying(std::string name) const {
        for (auto found = producer_.find(name);
             found != producer_.end() && found->second->op == "reshape";
             found = producer_.find(name)) {
            name = std::get<std::string>(found->second->find_argument("x")->operands.front());
        }
        return name;
    }

    bool is_host_parameter(const std::string& name) const {
        return options_.host_gradients.contains(underlying(name));
    }

    /// Whether its result may be computed again where that saves elements; a view always may.
    bool may_compute_again(const Operation& operation) const {
        return operation.op == "reshape" ||
               (options_.recompute != Recompute::nothing && is_cheap(operation.op));
    }

    /// Elements that would have to be saved in addition to have `name` in the backward function.
    std::int64_t cost(const std::string& name, std::set<std::string>& counted) const {
        if (values_.contains(name) || is_parameter(name) || known_.at(name).constant != nullptr ||
            !counted.insert(name).second) {
            return 0;
        }
        const std::int64_t own = known_.at(name).type.shape.elements();
        const Operation& operation = *producer_.at(name);
        if (!may_compute_again(operation)) {
            return own;
        }
        std::int64_t again = 0;
        for_operands(operation,
                     [&](const std::string& operand) { again += cost(operand, counted); });
        return std::min(own, again);
    }

    /// A forward value in the backward function: a constant again, an input, computed again or
    /// saved.
    Value forward_value(const std::string& name) {
        if (const auto found = values_.find(name); found != values_.end()) {
            return found->second;
        }
        const Known& known = known_.at(name);
        if (known.constant != nullptr) {
            return values_[name] = backward_.constant(*known.constant, name);
        }
        if (is_parameter(name)) {
            return values_[name] = backward_.input(name, known.type);
        }
        const Operation& operation = *producer_.at(name);
        if (options_.recompute == Recompute::everything) {
            return compute_again(operation, name);
        }
        if (may_compute_again(operation)) {
            std::set<std::string> counted;
            std::int64_t again = 0;
            for_operands(operation,
                         [&](const std::string& operand) { again += cost(operand, counted); });
            if (again < known.type.shape.elements()) {
                return compute_again(operation, name);
            }
        }
        return save(name);
    }

    Value compute_again(const Operation& operation, const std::string& name) {
        for_operands(operation, [&](const std::string& operand) { forward_value(operand); });
        backward_.copy(operation, values_);
        return values_.at(name);
    }

    Value save(const std::string& name) {
        saved_.push_back(name);
        return values_[name] = backward_.input(name, known_.at(name).type);
    }

    void accumulate(const std::string& name, const Value& gradient) {
        const auto [entry, first] = gradients_.try_emplace(name, gradient);
        if (!first) {
            entry->second = backward_.add(entry->second, gradient);
        }
    }

    void visit(const Operation& operation);
    void add_host_gradient(const Operation& operation, bool parameter_is_x);
    void give_gradients();
    void finish_names(Differentiated& result);

    const Function& function_;
    const Options& options_;
    std::map<std::string, Known, std::less<>> known_;
    std::map<std::string, const Operation*, std::less<>> producer_;
    std::set<std::string, std::less<>> active_;
    Builder backward_;
    std::map<std::string, Value, std::less<>> values_;  // forward values in the backward function
    std::map<std::string, Value, std::less<>> gradients_;  // by forward value
    std::vector<std::string> saved_;
    struct PendingHost {
        HostGradient gradient;
        std::string left_value;   // in the backward function, before renaming
        std::string right_value;  // likewise; empty where it is saved or an input
        std::string wanted_name;
    };
    std::vector<PendingHost> host_;
    std::vector<std::pair<std::string, std::string>>
        wanted_outputs_;  // value in backward, its final name
};

class Differentiator::RuleContext final : public Context {
  public:
    RuleContext(Differentiator& owner, const Operation& operation)
        : owner_(owner),
          operation_(operation),
          arguments_(operation, *find_schema(operation.op),
                     [&owner](std::string_view name) -> const Known* {
                         const auto found = owner.known_.find(name);
                         return found == owner.known_.end() ? nullptr : &found->second;
                     }) {}

    const Operation& operation() const override { return operation_; }
    const Arguments& arguments() const override { return arguments_; }

    std::optional<Value> gradient(int index) const override {
        const auto found =
            owner_.gradients_.find(operation_.results[static_cast<std::size_t>(index)].name);
        if (found == owner_.gradients_.end()) {
            return std::nullopt;
        }
        return found->second;
    }

    Value forward(std::string_view which) override {
        if (which == "result") {
            return owner_.forward_value(operation_.results.front().name);
        }
        const Operand* operand = find(which);
        if (const auto* literal = std::get_if<Literal>(operand)) {
            return owner_.backward_.constant(*literal);
        }
        return owner_.forward_value(std::get<std::string>(*operand));
    }

    Type type(std::string_view which) const override {
        if (which == "result") {
            return operation_.results.front().type;
        }
        const Operand* operand = find(which);
        if (const auto* literal = std::get_if<Literal>(operand)) {
            return literal->type;
        }
        return owner_.known_.at(std::get<std::string>(*operand)).type;
    }

    bool wants(std::string_view which) const override {
        const Operand* operand = find(which);
        const auto* name = operand != nullptr ? std::get_if<std::string>(operand) : nullptr;
        return name != nullptr && owner_.active_.contains(*name) &&
               !owner_.is_host_parameter(*name);
    }

    /// "x", or "values.2" for an element of a tuple; nullptr when it is not given.
    const Operand* find(std::string_view which) const {
        const auto dot = which.find('.');
        const Argument* argument = operation_.find_argument(which.substr(0, dot));
        if (argument == nullptr) {
            return nullptr;
        }
        const std::size_t index =
            dot == std::string_view::npos ? 0 : std::stoul(std::string(which.substr(dot + 1)));
        return index < argument->operands.size() ? &argument->operands[index] : nullptr;
    }

  private:
    Differentiator& owner_;
    const Operation& operation_;
    Arguments arguments_;
};

void Differentiator::visit(const Operation& operation) {
    const bool has_gradient =
        std::any_of(operation.results.begin(), operation.results.end(),
                    [&](const NamedType& result) { return gradients_.contains(result.name); });
    if (!has_gradient) {
        return;
    }
    const Rule* rule = find_rule(operation.op);
    if (rule == nullptr) {
        fail(Code::unsupported, here,
             "op '{}' has no gradient rule; write it with ops that have one {}", operation.op,
             where(operation));
    }
    for (const bool is_x : {true, false}) {
        const Argument* argument =
            operation.op == "matmul" ? operation.find_argument(is_x ? "x" : "y") : nullptr;
        const auto* name =
            argument != nullptr ? std::get_if<std::string>(&argument->operands.front()) : nullptr;
        if (name != nullptr && is_host_parameter(*name)) {
            add_host_gradient(operation, is_x);
        }
    }
    RuleContext context(*this, operation);
    bool wanted = false;
    for (const auto& argument : operation.arguments) {
        for (std::size_t i = 0; i < argument.operands.size(); ++i) {
            wanted =
                wanted || context.wants(argument.is_tuple ? argument.name + "." + std::to_string(i)
                                                          : argument.name);
        }
        if (operation.op != "matmul" && operation.op != "reshape") {
            for (const auto& operand : argument.operands) {
                const auto* name = std::get_if<std::string>(&operand);
                if (name != nullptr && is_host_parameter(*name)) {
                    fail(Code::unsupported, here,
                         "'{}' is not only an operand of matmul: the host cannot compute its "
                         "gradient {}",
                         underlying(*name), where(operation));
                }
            }
        }
    }
    if (!wanted) {
        return;
    }
    for (const auto& [which, gradient] : rule->backward(backward_, context)) {
        accumulate(std::get<std::string>(*context.find(which)), gradient);
    }
}

void Differentiator::add_host_gradient(const Operation& operation, bool parameter_is_x) {
    const auto name_of = [&](std::string_view which) {
        return std::get<std::string>(operation.find_argument(which)->operands.front());
    };
    const RuleContext context(*this, operation);
    const bool tx = context.arguments().boolean("transpose_x"),
               ty = context.arguments().boolean("transpose_y");
    const std::string other = name_of(parameter_is_x ? "y" : "x");
    const Shape& shape = known_.at(other).type.shape;
    const bool one_matrix = shape.elements() == shape[-1] * shape[-2];
    if (!parameter_is_x || ty || !one_matrix) {
        fail(Code::unsupported, here,
             "the host computes weight gradients of matmul(x = weight, y = activations) only {}",
             where(operation));
    }
    const std::string& result = operation.results.front().name;
    // Whoever owns the elements: a saved value or an input of the forward function, of which
    // `other` is a view.
    const std::string right = underlying(other);
    std::string right_value;
    if (options_.recompute == Recompute::everything && !is_parameter(right)) {
        right_value = forward_value(right).name;
    } else {
        if (!is_parameter(right) && !values_.contains(right)) {
            save(right);
        }
        if (!is_parameter(right) &&
            std::find(saved_.begin(), saved_.end(), right) == saved_.end()) {
            saved_.push_back(right);
        }
    }
    // y = W x gives dW = dy x^T; y = W^T x gives its transpose.
    host_.push_back({{underlying(name_of("x")), "", right, tx},
                     gradients_.at(result).name,
                     right_value,
                     "d_" + result});
}

void Differentiator::give_gradients() {
    for (const auto& parameter : options_.with_respect_to) {
        if (options_.host_gradients.contains(parameter)) {
            continue;
        }
        const auto found = gradients_.find(parameter);
        if (found == gradients_.end()) {
            fail(Code::invalid_argument, here, "no output depends on '{}'", parameter);
        }
        wanted_outputs_.emplace_back(found->second.name, "d_" + parameter);
    }
}

/// Outputs get readable names, and inputs that would be outputs are passed through an identity.
void Differentiator::finish_names(Differentiated& result) {
    const auto parameter_of_backward = [&](const std::string& name) -> const NamedType* {
        for (const auto& parameter : backward_.function().parameters) {
            if (parameter.name == name) {
                return &parameter;
            }
        }
        return nullptr;
    };
    const auto source = [&](std::string name) {  // through reshapes, to what owns the elements
        for (bool moved = true; moved;) {
            moved = false;
            for (const auto& operation : backward_.function().operations) {
                if (operation.op == "reshape" && operation.results.front().name == name) {
                    name = std::get<std::string>(operation.find_argument("x")->operands.front());
                    moved = true;
                    break;
                }
            }
        }
        return name;
    };
    std::map<std::string, std::string> renamed;
    const auto final_name = [&](const std::string& value, const std::string& wanted) {
        if (const auto found = renamed.find(value); found != renamed.end()) {
            return found->second;
        }
        Value handle{value, *backward_.function().find_type(value)};
        if (parameter_of_backward(value) != nullptr) {
            handle = backward_.unary("identity", handle);
        }
        const bool taken = backward_.function().find_type(wanted) != nullptr;
        const Value named = taken ? handle : backward_.rename(handle, wanted);
        backward_.output(named);
        return renamed[value] = named.name;
    };
    for (const auto& [value, wanted] : wanted_outputs_) {
        const std::string named = final_name(value, wanted);
        if (named != wanted) {  // two gradients are one value: each output has a name of its own
            const Value copy =
                backward_.unary("identity", {named, *backward_.function().find_type(named)});
            backward_.output(backward_.rename(copy, wanted));
        }
    }
    const auto operand = [&](const std::string& value, const std::string& wanted) {
        const std::string owner = source(renamed.contains(value) ? renamed[value] : value);
        return parameter_of_backward(owner) != nullptr ? owner : final_name(owner, wanted);
    };
    for (auto& pending : host_) {
        pending.gradient.left = operand(pending.left_value, pending.wanted_name);
        if (!pending.right_value.empty()) {
            pending.gradient.right = operand(pending.right_value, pending.gradient.right);
        }
        result.host_gradients.push_back(pending.gradient);
    }
}

}  // namespace

Differentiated differentiate(const Function& function, const Options& options) {
    const Function plain = passes::decompose(
        function, {}, {true, false},
        [](const Operation& operation) { return find_rule(operation.op) == nullptr; });
    return Differentiator(plain, options).run();
}

}  // namespace pome::mil::autodiff
