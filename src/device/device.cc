#include "device/device.h"

#include <algorithm>
#include <cstring>

#include "base/crash_point.h"
#include "device/as_hardware.h"
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
    check_allocations(bindings);
    if (process_ && process_->poisoned()) {
        fail_evaluation("the process is poisoned by an earlier evaluation; start it again");
    }
    const auto first = [&](Reaction reaction) {
        return std::find_if(silent_.begin(), silent_.end(),
                            [&](const Finding& finding) { return finding.reaction == reaction; });
    };
    if (const auto poison = first(Reaction::poisoned); poison != silent_.end()) {
        process_->poison();
        fail_evaluation(poison->text());
    }
    if (const auto failing = first(Reaction::failed); failing != silent_.end()) {
        fail_evaluation(failing->text());
    }
    ++evaluations_;
    run(bindings);
    if (first(Reaction::zeros) != silent_.end()) {
        for (const auto& output : outputs_) {
            const auto bytes = bindings.outputs.find(output.name)->second->bytes();
            std::memset(bytes.data(), 0, bytes.size());
        }
    }
}

std::vector<float> Executable::apply(std::span<const float> x) {
    constexpr std::string_view here = "device.apply";
    if (inputs_.size() != 1 || outputs_.size() != 1) {
        fail(Code::unsupported, here,
             "the program has {} inputs and {} outputs, one of each is needed; use evaluate()",
             inputs_.size(), outputs_.size());
    }
    const mil::NamedType &in = inputs_[0], &out = outputs_[0];
    Surface input(in.type), output(out.type);
    for (const auto& [name, type] : {in, out}) {
        if (type.dtype != DType::fp16 && type.dtype != DType::fp32) {
            fail(Code::unsupported, here, "'{}' is {}, not fp16 or fp32; use evaluate()", name,
                 type.text());
        }
    }
    if (std::ssize(x) != input.elements()) {
        fail(Code::surface_mismatch, here, "input '{}' is {}: {} elements, {} were given", in.name,
             in.type.text(), input.elements(), x.size());
    }
    if (in.type.dtype == DType::fp32) {
        std::copy(x.begin(), x.end(), input.floats());
    } else {
        std::transform(x.begin(), x.end(), input.halves(),
                       [](float value) { return to_fp16(value, Rounding::nearest_even); });
    }
    evaluate({{{in.name, &input}}, {{out.name, &output}}});
    std::vector<float> y(static_cast<std::size_t>(output.elements()));
    if (out.type.dtype == DType::fp32) {
        std::copy_n(output.floats(), y.size(), y.begin());
    } else {
        std::transform(output.halves(), output.halves() + y.size(), y.begin(), to_float);
    }
    return y;
}

void Executable::fail_evaluation(const std::string& reason) const {
    fail(Code::evaluation_failed, "device.evaluate",
         "ANEProgramProcessRequestDirect() Failed with status=0x1d : statusType=0x9: Program "
         "Inference error (com.apple.appleneuralengine Code=8): {}",
         reason);
}

/// Surfaces without an allocation of their own take what is asked for; only others can be wrong.
void Executable::check_allocations(const Bindings& bindings) const {
    const SurfaceRules& rules = surface_rules_;
    const auto check = [&](std::string_view kind, const auto& bound) {
        std::size_t largest = 0;
        for (const auto& [name, surface] : bound) {
            largest = std::max({largest, surface->allocation(), surface->bytes().size()});
        }
        for (const auto& [name, surface] : bound) {
            const std::size_t own = surface->allocation();
            std::string problem;
            if (own != 0 && own < static_cast<std::size_t>(rules.minimum_bytes)) {
                problem = fmt::format(
                    "{} '{}' is allocated with {} bytes, a surface has {} at least (rule "
                    "minimum_bytes)",
                    kind, name, own, rules.minimum_bytes);
            } else if (own != 0 && own < largest && rules.equal_sizes) {
                problem = fmt::format(
                    "{} '{}' is allocated with {} bytes, another {} with {} (rule equal_sizes); "
                    "give all the largest size",
                    kind, name, own, kind, largest);
            }
            if (problem.empty()) {
                continue;
            }
            if (strictness_ == Strictness::strict) {
                fail(Code::surface_mismatch, "device.evaluate", "{}", problem);
            }
            if (unequal_sizes_ != Reaction::works) {
                fail_evaluation(problem);
            }
        }
    };
    check("input", bindings.inputs);
    check("output", bindings.outputs);
}

void Device::check_budget() const {
    const Profile& used = profile();
    const std::int64_t compiled = process_->compiles(used.route),
                       loaded = process_->loaded(used.route);
    if (used.limits.compile_budget > 0 && compiled >= used.limits.compile_budget) {
        fail(
            Code::compile_failed, "device.compile",
            "{}: _ANECompiler : ANECCompile() FAILED err=(): the process has compiled {} programs, "
            "the route {} allows {} (limits.compile_budget); save, start again and resume, or give "
            "weights as inputs so that programs can stay",
            name(), compiled, used.route, used.limits.compile_budget);
    }
    if (used.limits.loaded_programs > 0 && loaded >= used.limits.loaded_programs) {
        fail(Code::compile_failed, "device.compile",
             "{}: {}: {} programs are loaded, the route {} holds {} (limits.loaded_programs); "
             "release some",
             name(),
             used.route == "e5rt"
                 ? "ANE model load has failed, GetANEFModel: must re-compile. Must re-compile the "
                   "E5 bundle"
                 : "GetANEFModel: must re-compile",
             loaded, used.route, used.limits.loaded_programs);
    }
}

std::unique_ptr<Executable> Device::compile(const mil::Package& package,
                                            std::string_view function) {
    mil::verify(package.program);
    const mil::Function* found = package.program.find_function(function);
    if (found == nullptr) {
        fail(Code::invalid_argument, "device.compile", "the program has no function '{}'",
             function);
    }
    const bool strict = strictness() == Strictness::strict;
    auto findings = lint(package.program, profile(), function);
    std::erase_if(findings, [](const Finding& finding) { return !finding.is_error(); });
    const auto refused = std::find_if(findings.begin(), findings.end(), [&](const Finding& f) {
        return strict || f.reaction == Reaction::refused;
    });
    if (refused != findings.end()) {
        fail(Code::compile_failed, "device.compile", "{} refuses the program: {}{}", name(),
             refused->text(),
             findings.size() > 1 ? fmt::format(" (and {} more)", findings.size() - 1) : "");
    }
    const std::lock_guard lock(compile_mutex_);
    check_budget();
    if (watch_) {
        watch_(package, function);
    }
    ++compiles_;
    auto loaded = Process::load(process_, profile().route, profile().failures.budget_reclaimed);
    auto executable = strict ? build(package, function)
                             : build(as_hardware(package, function, findings, profile()), function);
    crash_point("device.load");
    executable->surface_rules_ = profile().surfaces;
    executable->unequal_sizes_ = profile().failures.unequal_sizes;
    executable->strictness_ = strictness();
    executable->silent_ = std::move(findings);
    executable->process_ = process_;
    executable->loaded_ = std::move(loaded);
    return executable;
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
