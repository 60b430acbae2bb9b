// Names whose alphabetical order is that of the declaration.
#include <algorithm>
#include <map>
#include <set>

#include "device/legalize/parts.h"
#include "device/legalize/rules.h"

namespace pome::device::legalizing {

const RewriteInfo names_info{"names", "surfaces.alphabetical is true",
                             "inputs, and outputs, whose names do not ascend are renamed a0_.., "
                             "a1_..",
                             Equality::bits};

namespace {

using Renames = std::map<std::string, std::string, std::less<>>;

/// New names for `names` where they do not ascend.
Renames ascending(const std::vector<std::string>& names,
                  std::set<std::string, std::less<>>& taken) {
    Renames renames;
    if (std::is_sorted(names.begin(), names.end())) {
        return renames;
    }
    const std::size_t digits = std::to_string(names.size() - 1).size();
    for (std::size_t i = 0; i < names.size(); ++i) {
        std::string name = fmt::format("a{:0{}}_{}", i, digits, names[i]);
        while (!taken.insert(name).second) {
            name += "_";
        }
        renames[names[i]] = name;
    }
    return renames;
}

void apply(mil::Function& function, const Renames& renames) {
    const auto change = [&](std::string& name) {
        if (const auto found = renames.find(name); found != renames.end()) {
            name = found->second;
        }
    };
    for (auto& parameter : function.parameters) {
        change(parameter.name);
    }
    for (auto& operation : function.operations) {
        for (auto& argument : operation.arguments) {
            for (auto& operand : argument.operands) {
                if (auto* name = std::get_if<std::string>(&operand)) {
                    change(*name);
                }
            }
        }
        for (auto& result : operation.results) {
            change(result.name);
        }
    }
    std::for_each(function.outputs.begin(), function.outputs.end(), change);
}

}  // namespace

mil::Function order_boundary(const mil::Function& function, const Work& work) {
    if (!work.profile.surfaces.alphabetical) {
        return function;
    }
    std::set<std::string, std::less<>> taken;
    std::vector<std::string> inputs;
    for (const auto& parameter : function.parameters) {
        taken.insert(parameter.name);
        inputs.push_back(parameter.name);
    }
    for (const auto& operation : function.operations) {
        for (const auto& result : operation.results) {
            taken.insert(result.name);
        }
    }
    mil::Function renamed = function;
    for (const bool is_input : {true, false}) {
        const auto& names = is_input ? inputs : function.outputs;
        const Renames renames = ascending(names, taken);
        if (renames.empty()) {
            continue;
        }
        const std::set<std::string> once(names.begin(), names.end());
        const bool shared = std::any_of(inputs.begin(), inputs.end(), [&](const auto& input) {
            const auto& outputs = function.outputs;
            return std::find(outputs.begin(), outputs.end(), input) != outputs.end();
        });
        if (shared || once.size() != names.size()) {
            work.refusals.push_back({std::string(names_info.rule), function.position.line,
                                     function.name,
                                     "an output that is an input or another output cannot have a "
                                     "name of its own; give it an operation of its own"});
            continue;
        }
        for (const auto& name : names) {
            const mil::NamedType value{name, *function.find_type(name)};
            part_of(work.boundary, is_input, value).name = renames.at(name);
        }
        apply(renamed, renames);
        work.changes.push_back(
            {std::string(names_info.rule), function.position.line, names.front(),
             fmt::format("{} {} renamed {} .. {}: surfaces are bound in the order of names",
                         names.size(), is_input ? "inputs" : "outputs", renames.at(names.front()),
                         renames.at(names.back())),
             Equality::bits});
    }
    return renamed;
}

}  // namespace pome::device::legalizing
