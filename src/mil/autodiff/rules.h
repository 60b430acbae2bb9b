#pragma once

#include <vector>

#include "mil/autodiff/autodiff.h"

namespace pome::mil::autodiff {

// One list of rules a family, a file each; rules.cc joins them.
std::vector<Rule> product_rules();     // matmul, linear
std::vector<Rule> window_rules();      // conv, conv_transpose, max_pool, avg_pool
std::vector<Rule> activation_rules();  // leaky_relu, clip, elu, gelu, ...
std::vector<Rule> binary_rules();      // add, sub, mul, real_div, maximum, minimum, pow
std::vector<Rule> unary_rules();       // sigmoid, exp, relu, ...
std::vector<Rule> reduction_rules();   // reduce_*, softmax, l2_norm
std::vector<Rule> layout_rules();      // reshape, transpose, slice_by_size, concat, ...

/// The sum of a gradient over the axes along which an operand of shape `shape` was broadcast.
Value unbroadcast(Builder& b, const Value& gradient, const Shape& shape);
/// A tensor filled with one number.
Value filled(Builder& b, DType dtype, const Shape& shape, double value);

}  // namespace pome::mil::autodiff
