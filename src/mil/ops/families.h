#pragma once

#include <vector>

#include "mil/schema.h"

namespace pome::mil::ops {

// One list of schemas a family of ops, a file each beside this; registry.cc joins them.
std::vector<Schema> products();            // matmul, linear, scaled_dot_product_attention
std::vector<Schema> windows();             // conv, conv_transpose, avg_pool, max_pool
std::vector<Schema> elementwise_binary();  // add, mul, ..., comparisons, select, pow
std::vector<Schema> elementwise_unary();   // sigmoid, exp, relu, clip, cast, ...
std::vector<Schema> reductions();          // reduce_*, softmax, cumsum
std::vector<Schema> normalization();       // layer_norm, batch_norm, instance_norm, l2_norm
std::vector<Schema> layout();    // reshape, transpose, expand_dims, squeeze, tile, pad, ...
std::vector<Schema> slicing();   // slice_by_size, slice_by_index, split, concat, stack
std::vector<Schema> indexing();  // gather, gather_along_axis, topk, reduce_argmax, shape, range_1d
std::vector<Schema> quantization();        // quantize, dequantize, constexpr_affine_dequantize, ...
std::vector<Schema> compressed_weights();  // constexpr_lut_to_dense, constexpr_sparse_to_dense, ...
std::vector<Schema> rearranging();         // depth_to_space, pixel_shuffle, crop, flatten2d, ...
std::vector<Schema> resizing();            // resize_*, upsample_*
std::vector<Schema> sampling();            // resample, affine, crop_resize
std::vector<Schema> filling();             // fill, fill_like

// What several families need.
inline const std::vector<DType> floats{DType::fp16, DType::fp32};
inline const std::vector<DType> integers{DType::int4,   DType::int8,  DType::int16, DType::int32,
                                         DType::int64,  DType::uint1, DType::uint2, DType::uint3,
                                         DType::uint4,  DType::uint6, DType::uint8, DType::uint16,
                                         DType::uint32, DType::uint64};
inline const std::vector<DType> numbers{DType::fp16,  DType::fp32,   DType::int8, DType::uint8,
                                        DType::int16, DType::uint16, DType::int32};
inline const std::vector<DType> numbers_and_bool{DType::fp16,  DType::fp32,   DType::int8,
                                                 DType::uint8, DType::int16,  DType::uint16,
                                                 DType::int32, DType::boolean};

Parameter tensor(std::string_view name, std::vector<DType> dtypes = {});
Parameter optional_tensor(std::string_view name, std::vector<DType> dtypes = {});
Parameter tensors(std::string_view name);
Parameter constant(std::string_view name);  ///< required
Parameter constant(std::string_view name, Literal default_value);
Parameter optional_constant(std::string_view name);

/// An axis in [-rank, rank) as one in [0, rank); fails through `in`.
int axis(const Arguments& in, std::int64_t axis, const Shape& shape);
/// The axes of constant `name` in ascending order, all of them when it is absent.
std::vector<int> axes(const Arguments& in, std::string_view name, const Shape& shape);
/// The shape that x and y broadcast to; fails through `in`.
Shape broadcast_shape(const Arguments& in, const Type& x, const Type& y);
/// Fails unless argument `name`, where it is given, has this shape.
void expect_shape(const Arguments& in, std::string_view name, const Shape& shape);
/// Fails unless x and y have one dtype.
void expect_same_dtype(const Arguments& in, std::string_view x, std::string_view y);
/// Constant `name`; the default of a number is rounded to x's dtype, as the language defines it (a
/// default epsilon of 1e-12 is 0 in fp16).
double number_like_x(const Arguments& in, std::string_view name);
/// The elements of an optional argument, nullptr when it is absent.
const reference::Tensor* optional(const Arguments& in, std::string_view name);
/// The type of x: what most ops give.
std::vector<Type> same_as_x(const Arguments& in);

}  // namespace pome::mil::ops
