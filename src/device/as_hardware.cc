#include "device/as_hardware.h"

#include <algorithm>

#include "base/error.h"

namespace pome::device {
namespace {

void erase_argument(mil::Operation& operation, std::string_view name) {
    std::erase_if(operation.arguments,
                  [&](const mil::Argument& argument) { return argument.name == name; });
}

/// The weight as zeros: what a chip uses that ignores the one it is given is not known.
void zero_weight(const mil::Function& function, mil::Operation& operation) {
    for (auto& argument : operation.arguments) {
        if (argument.name != "weight" || argument.operands.empty()) {
            continue;
        }
        const auto* name = std::get_if<std::string>(&argument.operands.front());
        const mil::Type* type = name == nullptr ? nullptr : function.find_type(*name);
        if (type != nullptr) {
            mil::Literal::Bytes zeros(static_cast<std::size_t>(type->shape.elements()) *
                                      size_in_memory(type->dtype));
            argument.operands.front() = mil::Literal{*type, std::move(zeros)};
        }
    }
}

/// mul(x, constant) as identity(x).
void drop_factor(const mil::Function& function, mil::Operation& operation) {
    const auto is_rounding = [&](const mil::Operand& operand) {
        const auto* name = std::get_if<std::string>(&operand);
        return name != nullptr &&
               std::any_of(
                   function.operations.begin(), function.operations.end(),
                   [&](const mil::Operation& other) {
                       return !other.results.empty() && other.results[0].name == *name &&
                              (other.op == "floor" || other.op == "ceil" || other.op == "round");
                   });
    };
    for (const auto& argument : operation.arguments) {
        if (argument.operands.size() == 1 && is_rounding(argument.operands.front())) {
            mil::Argument kept = argument;
            kept.name = "x";
            operation.op = "identity";
            operation.arguments = {std::move(kept)};
            return;
        }
    }
}

}  // namespace

mil::Package as_hardware(const mil::Package& package, std::string_view function,
                         const std::vector<Finding>& findings, const Profile& profile) {
    mil::Package changed = package;
    changed.weights.set_rules(profile.blobs);
    const auto found =
        std::find_if(changed.program.functions.begin(), changed.program.functions.end(),
                     [&](const mil::Function& candidate) { return candidate.name == function; });
    if (found == changed.program.functions.end()) {
        fail(Code::invalid_argument, "device.as_hardware", "the program has no function '{}'",
             function);
    }
    for (const Finding& finding : findings) {
        if (finding.reaction != Reaction::ignored) {
            continue;
        }
        for (auto& operation : found->operations) {
            if (operation.results.empty() || operation.results.front().name != finding.value) {
                continue;
            }
            if (finding.rule == "attention_mask") {
                erase_argument(operation, "attn_mask");
            } else if (finding.rule == "runtime_conv_weight") {
                zero_weight(*found, operation);
            } else if (finding.rule == "rounding_scale") {
                drop_factor(*found, operation);
            }
        }
    }
    return changed;
}

}  // namespace pome::device
