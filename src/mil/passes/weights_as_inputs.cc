#include "mil/passes/weights_as_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/error.h"

namespace pome::mil::passes {
namespace {

constexpr std::string_view here = "mil.weights_as_inputs";
constexpr std::uint64_t first_record = 64;

const Literal* blob_of(const Operation& operation) {
    const Literal* value = operation.op == "const" ? operation.find_attribute("val") : nullptr;
    return value != nullptr && value->is_blob() && is_floating(value->type.dtype) ? value : nullptr;
}

bool bakes(const Function& function, const std::string& parameter) {
    try {
        bake_weights(function, {parameter});
        return true;
    } catch (const Error& error) {
        if (error.code() != Code::unsupported) {
            throw;
        }
        return false;
    }
}

}  // namespace

std::vector<BlobConstant> blob_constants(const Function& function) {
    std::vector<BlobConstant> found;
    for (const Operation& operation : function.operations) {
        if (const Literal* value = blob_of(operation)) {
            found.push_back(
                {operation.results.front().name, value->type, std::get<Blob>(value->payload)});
        }
    }
    return found;
}

Function constants_to_inputs(const Function& function, const std::vector<std::string>& constants) {
    Function made = function;
    for (const std::string& name : constants) {
        const auto found =
            std::find_if(made.operations.begin(), made.operations.end(), [&](const Operation& o) {
                return blob_of(o) != nullptr && o.results.front().name == name;
            });
        if (found == made.operations.end()) {
            fail(Code::invalid_argument, here,
                 "'{}' has no floating-point constant '{}' in a weight file", function.name, name);
        }
        made.parameters.push_back(found->results.front());
        made.operations.erase(found);
    }
    return made;
}

Baked inputs_to_constants(const Function& function, const std::vector<std::string>& parameters) {
    std::vector<std::string> products;
    Function rest = function;
    std::vector<BakedWeight> plain;
    for (const std::string& name : parameters) {
        if (bakes(function, name)) {
            products.push_back(name);
            continue;
        }
        const auto input = std::find_if(rest.parameters.begin(), rest.parameters.end(),
                                        [&](const NamedType& p) { return p.name == name; });
        const Type type = input->type;
        rest.parameters.erase(input);
        const std::string path = fmt::format("@model_path/weights/{}.bin", name);
        Operation constant;
        constant.op = "const";
        constant.attributes = {{"name", Literal::text(name)},
                               {"val", Literal::blob(type, {path, first_record})}};
        constant.results = {{name, type}};
        rest.operations.insert(rest.operations.begin(), std::move(constant));
        plain.push_back({name, false, type.shape.elements(), 1, path, type.dtype});
    }
    Baked baked = products.empty() ? Baked{std::move(rest), {}} : bake_weights(rest, products);
    std::move(plain.begin(), plain.end(), std::back_inserter(baked.weights));
    return baked;
}

}  // namespace pome::mil::passes
