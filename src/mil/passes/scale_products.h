#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mil/program.h"

namespace pome::mil::passes {

/// The input that scale_products() adds.
inline constexpr std::string_view product_scales_input = "product_scales";
/// Elements of its innermost axis, of which the first holds the scale: rows of the engine's
/// surfaces are multiples of 64 bytes.
inline constexpr std::int64_t product_scales_row = 32;

/// One matrix product of a function.
struct Product {
    std::string result;  ///< the name of the matmul's result
    std::string left;    ///< its operands x and y, before any scaling
    std::string right;
    std::int64_t inner = 0;  ///< products in one sum
};

/// The matmuls of `function` in their order.
std::vector<Product> products_of(const Function& function);

/// The same function with a power of two for each product, chosen at run time: product i of
/// products_of() becomes ((operand * s[i]) @ other) * u[i]. Where u[i] = 1 / s[i] and nothing
/// leaves fp16's normal range the result is the same but for what the engine's absolute precision
/// loses. The smaller operand is the one that is scaled. s and u are one more input,
/// "product_scales" [1, 2 n, 1, product_scales_row], s first. All other values keep their names.
/// Throws Error{invalid_argument} when the function has a value of that name.
Function scale_products(const Function& function);

/// The same function with every operand of its products that is no parameter among its outputs.
Function expose_operands(const Function& function);

}  // namespace pome::mil::passes
