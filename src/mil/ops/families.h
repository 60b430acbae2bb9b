#pragma once

#include <vector>

#include "mil/schema.h"

namespace pome::mil::ops {

// One list of schemas a family of ops, a file each beside this; registry.cc joins them.
std::vector<Schema> products();            // conv, linear, matmul
std::vector<Schema> elementwise_binary();  // add, mul, ..., comparisons, select, pow
std::vector<Schema> elementwise_unary();   // sigmoid, exp, relu, clip, ...
std::vector<Schema> reductions();          // reduce_*, softmax, layer_norm
std::vector<Schema> layout();  // reshape, transpose, slice_by_size, concat, gather, cast, ...

// What several families need.
inline const std::vector<DType> floats{DType::fp16, DType::fp32};
inline const std::vector<DType> numbers{DType::fp16,  DType::fp32,   DType::int8, DType::uint8,
                                        DType::int16, DType::uint16, DType::int32};

Parameter tensor(std::string_view name, std::vector<DType> dtypes = {});
Parameter optional_tensor(std::string_view name, std::vector<DType> dtypes = {});
Parameter constant(std::string_view name);  ///< required
Parameter constant(std::string_view name, Literal default_value);
Parameter optional_constant(std::string_view name);

/// An axis in [-rank, rank) as one in [0, rank); fails through `in`.
int axis(const Arguments& in, std::int64_t axis, const Shape& shape);
/// The axes of constant `name`, all of them when it is absent.
std::vector<int> axes(const Arguments& in, std::string_view name, const Shape& shape);
/// The shape that x and y broadcast to; fails through `in`.
Shape broadcast_shape(const Arguments& in, const Type& x, const Type& y);

}  // namespace pome::mil::ops
