// Weights that a program holds compressed: reconstructed once, when it is compiled.
#include <cmath>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

Shape given_shape(const Arguments& in) {
    const auto sizes = in.integers("shape");
    std::int64_t elements = 1;
    for (const std::int64_t size : sizes) {
        if (size < 1 || elements > (std::int64_t{1} << 31) / size) {
            in.fail("shape {} has a size below 1 or more than 2^31 elements", Shape(sizes).text());
        }
        elements *= size;
    }
    return Shape(sizes);
}

/// The bits that index `entries`, 0 when that is no power of two up to 256.
int index_bits(std::int64_t entries) {
    for (const int bits : {1, 2, 3, 4, 6, 8}) {
        if (entries == std::int64_t{1} << bits) {
            return bits;
        }
    }
    return 0;
}

/// lut [groups of each axis.., entries, 1] of indices [..]: how many entries one group has.
std::int64_t entries_of(const Arguments& in, const Shape& indices, const Shape& lut) {
    bool fits = lut.rank() == indices.rank() + 2 && lut[-1] == 1;
    for (int i = 0; fits && i < indices.rank(); ++i) {
        fits = lut[i] > 0 && indices[i] % lut[i] == 0;
    }
    if (!fits || index_bits(lut[-2]) == 0) {
        in.fail(
            "indices {} and lut {}: lut must be [groups of each axis, 2, 4, 8, 16, 64 or 256 "
            "entries, 1]",
            indices.text(), lut.text());
    }
    return lut[-2];
}

std::vector<Type> infer_lut(const Arguments& in) {
    const Type &indices = in.type("indices"), &lut = in.type("lut");
    if (in.has("shape")) {  // the older form: bytes packed from the lowest bit, one table
        const Shape shape = given_shape(in);
        const int bits = index_bits(lut.shape.elements());
        if (bits == 0 || lut.shape.rank() != 1 ||
            indices.shape != Shape{(shape.elements() * bits + 7) / 8}) {
            in.fail("indices {} and lut {} do not hold {}", indices.shape.text(), lut.shape.text(),
                    shape.text());
        }
        return {Type::tensor(lut.dtype, shape)};
    }
    entries_of(in, indices.shape, lut.shape);
    return {Type::tensor(lut.dtype, indices.shape)};
}

double looked_up(const Arguments& in, const reference::Tensor& lut, std::int64_t first,
                 std::int64_t entries, double index) {
    if (!(index >= 0.0 && index < static_cast<double>(entries))) {
        in.fail("index {} is outside a table of {}", index, entries);
    }
    return lut.data[static_cast<std::size_t>(first) + static_cast<std::size_t>(index)];
}

/// Element `at` of a tensor read from tables of groups.
double from_groups(const Arguments& in, const reference::Tensor& lut, const Shape& shape,
                   std::int64_t at, double index) {
    const std::int64_t entries = lut.shape[-2];
    const auto strides = lut.shape.strides();
    std::int64_t rest = at, first = 0;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
        const std::int64_t length = shape[axis] / lut.shape[axis];
        first += rest % shape[axis] / length * strides[static_cast<std::size_t>(axis)];
        rest /= shape[axis];
    }
    return looked_up(in, lut, first, entries, index);
}

std::vector<reference::Tensor> evaluate_lut(const Arguments& in) {
    const auto &indices = in.tensor("indices"), &lut = in.tensor("lut");
    reference::Tensor y(infer_lut(in).front().shape);
    const int bits = index_bits(in.has("shape") ? lut.size() : lut.shape[-2]);
    for (std::int64_t i = 0; i < y.size(); ++i) {
        double& value = y.data[static_cast<std::size_t>(i)];
        if (!in.has("shape")) {
            value = from_groups(in, lut, y.shape, i, indices.data[static_cast<std::size_t>(i)]);
            continue;
        }
        int index = 0;
        for (int bit = 0; bit < bits; ++bit) {
            const std::int64_t place = i * bits + bit;
            const int byte = static_cast<int>(indices.data[static_cast<std::size_t>(place / 8)]);
            index |= (byte >> (place % 8) & 1) << bit;
        }
        value = looked_up(in, lut, 0, lut.size(), index);
    }
    return {std::move(y)};
}

std::vector<Type> infer_sparse(const Arguments& in) {
    const Type &data = in.type("nonzero_data"), &mask = in.type("mask");
    if (data.shape.rank() != 1) {
        in.fail("nonzero_data {} must have rank 1", data.shape.text());
    }
    if (in.has("shape")) {  // the older form: a mask of bits, packed from the lowest
        const Shape shape = given_shape(in);
        if (mask.shape != Shape{(shape.elements() + 7) / 8}) {
            in.fail("mask {} does not hold a bit for each element of {}", mask.shape.text(),
                    shape.text());
        }
        return {Type::tensor(data.dtype, shape)};
    }
    return {Type::tensor(data.dtype, mask.shape)};
}

/// The elements of `data` in order where `mask` is not 0.
reference::Tensor spread(const Arguments& in, const reference::Tensor& data,
                         const reference::Tensor& mask) {
    reference::Tensor y(mask.shape);
    std::size_t next = 0;
    for (std::size_t i = 0; i < y.data.size(); ++i) {
        if (mask.data[i] == 0.0) {
            continue;
        }
        if (next == data.data.size()) {
            in.fail("the mask has more ones than the {} elements", data.data.size());
        }
        y.data[i] = data.data[next++];
    }
    if (next != data.data.size()) {
        in.fail("the mask has {} ones, there are {} elements", next, data.data.size());
    }
    return y;
}

/// A mask of packed bits as one of elements.
reference::Tensor unpacked(const reference::Tensor& mask, const Shape& shape) {
    reference::Tensor y(shape);
    for (std::size_t i = 0; i < y.data.size(); ++i) {
        y.data[i] = static_cast<int>(mask.data[i / 8]) >> (i % 8) & 1;
    }
    return y;
}

std::vector<reference::Tensor> evaluate_sparse(const Arguments& in) {
    const auto& mask = in.tensor("mask");
    return {spread(in, in.tensor("nonzero_data"),
                   in.has("shape") ? unpacked(mask, infer_sparse(in).front().shape) : mask)};
}

std::vector<Type> infer_lut_to_sparse(const Arguments& in) {
    const Type &mask = in.type("indices_mask"), &data = in.type("indices_nonzero_data"),
               &lut = in.type("lut");
    entries_of(in, mask.shape, lut.shape);
    if (data.shape.rank() != 1) {
        in.fail("indices_nonzero_data {} must have rank 1", data.shape.text());
    }
    return {mask, Type::tensor(lut.dtype, data.shape)};
}

/// For each element that a mask keeps: value(its place, its index among the kept).
template <typename Value>
std::vector<reference::Tensor> of_kept(const Arguments& in, const reference::Tensor& mask,
                                       const reference::Tensor& data, Value value) {
    spread(in, data, mask);  // checks that they fit
    reference::Tensor y(data.shape);
    std::size_t next = 0;
    for (std::size_t i = 0; i < mask.data.size(); ++i) {
        if (mask.data[i] != 0.0) {
            y.data[next] = value(static_cast<std::int64_t>(i), data.data[next]);
            ++next;
        }
    }
    return {mask, std::move(y)};
}

std::vector<reference::Tensor> evaluate_lut_to_sparse(const Arguments& in) {
    const auto &mask = in.tensor("indices_mask"), &lut = in.tensor("lut");
    return of_kept(in, mask, in.tensor("indices_nonzero_data"), [&](std::int64_t at, double index) {
        return from_groups(in, lut, mask.shape, at, index);
    });
}

std::vector<Type> infer_sparse_blockwise(const Arguments& in) {
    const Type &mask = in.type("data_mask"), &data = in.type("nonzero_data"),
               &scale = in.type("scale");
    bool fits = scale.shape.rank() == mask.shape.rank() && data.shape.rank() == 1;
    for (int i = 0; fits && i < mask.shape.rank(); ++i) {
        fits = scale.shape[i] > 0 && mask.shape[i] % scale.shape[i] == 0;
    }
    if (!fits) {
        in.fail("data_mask {}, nonzero_data {} and scale {}: scale's sizes must divide the mask's",
                mask.shape.text(), data.shape.text(), scale.shape.text());
    }
    expect_shape(in, "offset", scale.shape);
    return {mask, Type::tensor(scale.dtype, data.shape)};
}

std::vector<reference::Tensor> evaluate_sparse_blockwise(const Arguments& in) {
    const auto &mask = in.tensor("data_mask"), &data = in.tensor("nonzero_data");
    const reference::Tensor whole = reference::blockwise_shift_scale(
        spread(in, data, mask), in.tensor("scale"), optional(in, "offset"));
    return of_kept(in, mask, data, [&](std::int64_t at, double) {
        return whole.data[static_cast<std::size_t>(at)];
    });
}

std::vector<Type> infer_cast(const Arguments& in) {
    const auto dtype = dtype_from_name(in.text("output_dtype"));
    if (!dtype || !is_floating(*dtype)) {
        in.fail("output_dtype '{}' is no floating-point type", in.text("output_dtype"));
    }
    return {Type::tensor(*dtype, in.type("source_val").shape)};
}

std::vector<reference::Tensor> evaluate_cast(const Arguments& in) {
    return {in.tensor("source_val")};
}

}  // namespace

std::vector<Schema> compressed_weights() {
    const std::vector<DType> indices{DType::uint1, DType::uint2, DType::uint3,
                                     DType::uint4, DType::uint6, DType::uint8};
    const std::vector<DType> bits{DType::uint1, DType::uint8};
    return {
        {"constexpr_lut_to_dense",
         "lut[indices]: one table, or one for each group; with `shape`, indices are packed bytes",
         {tensor("indices", indices), tensor("lut"), optional_constant("shape")},
         infer_lut,
         evaluate_lut},
        {"constexpr_sparse_to_dense",
         "nonzero_data in order where mask is 1, else 0; with `shape`, mask is packed bytes",
         {tensor("nonzero_data"), tensor("mask", bits), optional_constant("shape")},
         infer_sparse,
         evaluate_sparse},
        {"constexpr_lut_to_sparse",
         "the mask, and lut[indices] of what it keeps",
         {tensor("indices_mask", {DType::uint1}), tensor("indices_nonzero_data", indices),
          tensor("lut")},
         infer_lut_to_sparse,
         evaluate_lut_to_sparse},
        {"constexpr_sparse_blockwise_shift_scale",
         "the mask, and scale * (data - offset) of what it keeps",
         {tensor("data_mask", {DType::uint1}), tensor("nonzero_data"), tensor("scale", floats),
          optional_tensor("offset")},
         infer_sparse_blockwise,
         evaluate_sparse_blockwise},
        {"constexpr_cast",
         "source_val in another floating-point type",
         {tensor("source_val", floats), constant("output_dtype")},
         infer_cast,
         evaluate_cast},
    };
}

}  // namespace pome::mil::ops
