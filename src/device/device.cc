#include "device/device.h"

#include "device/lint.h"
#include "mil/builder.h"
#include "mil/passes/declare_in_order.h"
#include "mil/verifier.h"

namespace pome::device {
namespace {

template <typename Map>
auto* find_surface(const Map& bound, const mil::NamedType& value, std::string_view kind) {
    const auto found = bound.find(value.name);
    if (found == bound.end() || found->second == nullptr) {
        fail(Code::binding_missing, "device.evaluate", "{} '{}' ({}) has no surface; bind one",
             kind, value.name, value.type.text());
    }
    if (found->second->type() != value.type) {
        fail(Code::surface_mismatch, "device.evaluate",
             "{} '{}' is {}, the surface bound to it holds {}", kind, value.name, value.type.text(),
             found->second->type().text());
    }
    return found->second;
}

}  // namespace

void Executable::evaluate(const Bindings& bindings) {
    for (const auto& input : inputs_) {
        find_surface(bindings.inputs, input, "input");
    }
    for (const auto& output : outputs_) {
        const Surface* surface = find_surface(bindings.outputs, output, "output");
        for (const auto& [other, bound] : bindings.inputs) {
            if (bound == surface) {
                fail(Code::surface_mismatch, "device.evaluate",
                     "output '{}' is bound to the surface of input '{}'", output.name, other);
            }
        }
    }
    ++evaluations_;
    run(bindings);
}

std::unique_ptr<Executable> Device::compile(const mil::Package& package,
                                            std::string_view function) {
    mil::verify(package.program);
    const mil::Function* found = package.program.find_function(function);
    if (found == nullptr) {
        fail(Code::invalid_argument, "device.compile", "the program has no function '{}'",
             function);
    }
    const auto findings = lint(*found, profile());
    if (!findings.empty()) {
        fail(Code::compile_failed, "device.compile", "{} refuses the program: {}{}", name(),
             findings.front().text(),
             findings.size() > 1 ? fmt::format(" (and {} more)", findings.size() - 1) : "");
    }
    const std::lock_guard lock(compile_mutex_);
    ++compiles_;
    return build(package, function);
}

mil::Program program_for(mil::Function function, const Profile& profile) {
    const bool terse = profile.capabilities.terse_dialect;
    function.opset = terse ? "ios18" : "ios16";
    if (profile.surfaces.alphabetical) {
        function = mil::passes::declare_in_order(std::move(function));
    }
    return mil::make_program(std::move(function),
                             terse ? mil::Dialect::terse : mil::Dialect::canonical);
}

std::vector<mil::NamedType> output_types(const mil::Function& function) {
    std::vector<mil::NamedType> types;
    for (const auto& name : function.outputs) {
        const mil::Type* type = function.find_type(name);
        if (type == nullptr) {
            fail(Code::malformed_program, "device.compile", "output '{}' is not defined", name);
        }
        types.push_back({name, *type});
    }
    return types;
}

}  // namespace pome::device
