#include "mil/passes/scale_products.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "mil/builder.h"

namespace pome::mil::passes {
namespace {

constexpr std::string_view here = "mil.scale_products";

const std::string& operand_name(const Operation& operation, std::string_view which) {
    const Argument* argument = operation.find_argument(which);
    const auto* name = argument == nullptr || argument->operands.empty()
                           ? nullptr
                           : std::get_if<std::string>(&argument->operands.front());
    if (name == nullptr) {
        fail(Code::unsupported, here, "matmul's {} is no named value; give it a name", which);
    }
    return *name;
}

bool is_parameter(const Function& function, const std::string& name) {
    return std::any_of(function.parameters.begin(), function.parameters.end(),
                       [&](const NamedType& parameter) { return parameter.name == name; });
}

}  // namespace

std::vector<Product> products_of(const Function& function) {
    std::vector<Product> products;
    for (const Operation& operation : function.operations) {
        if (operation.op != "matmul") {
            continue;
        }
        const std::string& left = operand_name(operation, "x");
        const std::string& right = operand_name(operation, "y");
        const Shape& shape = function.find_type(left)->shape;
        const Shape& out = operation.results.front().type.shape;
        // x is [.., rows, inner] or its transpose; rows is known from the result.
        const std::int64_t inner = shape[-1] * shape[-2] / out[-2];
        products.push_back({operation.results.front().name, left, right, inner});
    }
    return products;
}

Function scale_products(const Function& function) {
    const std::vector<Product> products = products_of(function);
    if (products.empty()) {
        return function;
    }
    if (function.find_type(product_scales_input) != nullptr) {
        fail(Code::invalid_argument, here, "'{}' has a value '{}' already", function.name,
             product_scales_input);
    }
    Builder b(function.name, function.opset);
    std::map<std::string, Value, std::less<>> names;
    for (const Operation& operation : function.operations) {
        for (const NamedType& result : operation.results) {
            b.reserve(result.name);
        }
    }
    for (const NamedType& parameter : function.parameters) {
        names[parameter.name] = b.input(parameter.name, parameter.type);
    }
    const auto count = static_cast<std::int64_t>(products.size());
    const DType dtype = function.find_type(products.front().left)->dtype;
    const Value scales = b.input(std::string(product_scales_input),
                                 Type::tensor(dtype, {1, 2 * count, 1, product_scales_row}));
    const auto factor = [&](std::int64_t at) {
        return b.slice(scales, {0, at, 0, 0}, {1, 1, 1, 1});
    };

    std::int64_t index = 0;
    for (const Operation& operation : function.operations) {
        if (operation.op != "matmul") {
            b.copy(operation, names);
            if (operation.op != "const") {  // equal constants may have become one
                for (const NamedType& result : operation.results) {
                    names[result.name] = b.rename(names.at(result.name), result.name);
                }
            }
            continue;
        }
        const Product& product = products[static_cast<std::size_t>(index)];
        const Value left = names.at(product.left), right = names.at(product.right);
        const bool scale_left = left.shape().elements() <= right.shape().elements();
        const Value scaled = b.mul(scale_left ? left : right, factor(index));
        auto operands = names;
        operands[scale_left ? product.left : product.right] = scaled;
        if (product.left == product.right) {
            fail(Code::unsupported, here, "'{}' multiplies a value by itself", product.result);
        }
        b.copy(operation, operands);
        const Value undone = b.mul(operands.at(product.result), factor(count + index));
        names[product.result] = b.rename(undone, product.result);
        ++index;
    }
    for (const std::string& output : function.outputs) {
        b.output(names.at(output));
    }
    return b.take();
}

Function expose_operands(const Function& function) {
    Function exposed = function;
    for (const Product& product : products_of(function)) {
        for (const std::string& name : {product.left, product.right}) {
            if (!is_parameter(function, name) &&
                std::find(exposed.outputs.begin(), exposed.outputs.end(), name) ==
                    exposed.outputs.end()) {
                exposed.outputs.push_back(name);
            }
        }
    }
    return exposed;
}

}  // namespace pome::mil::passes
