#include <algorithm>
#include <numeric>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

std::vector<Type> infer_slice_by_size(const Arguments& in) {
    const Type& x = in.type("x");
    const auto begin = in.integers("begin");
    auto size = in.integers("size");
    if (static_cast<int>(begin.size()) != x.shape.rank() || begin.size() != size.size()) {
        in.fail("begin has {} and size {} entries, x {} has rank {}", begin.size(), size.size(),
                x.shape.text(), x.shape.rank());
    }
    for (std::size_t i = 0; i < size.size(); ++i) {
        const std::int64_t whole = x.shape[static_cast<int>(i)];
        if (size[i] == -1) {
            size[i] = whole - begin[i];
        }
        if (begin[i] < 0 || size[i] < 0 || begin[i] > whole || size[i] > whole - begin[i]) {
            in.fail("axis {}: {} elements from {} do not lie in x {}", i, size[i], begin[i],
                    x.shape.text());
        }
    }
    return {Type::tensor(x.dtype, Shape(size))};
}

std::vector<reference::Tensor> evaluate_slice_by_size(const Arguments& in) {
    const auto begin = in.integers("begin");
    return {reference::slice(in.tensor("x"), begin, std::vector<std::int64_t>(begin.size(), 1),
                             infer_slice_by_size(in).front().shape)};
}

/// Where slice_by_index begins, its strides, and the sizes before squeezing.
struct Slice {
    std::vector<std::int64_t> begin, stride, size;
    std::vector<bool> squeezed;
};

/// Constant `name` with one entry an axis, `value` everywhere when it is absent.
std::vector<std::int64_t> per_axis(const Arguments& in, std::string_view name, const Shape& x,
                                   std::int64_t value) {
    const auto rank = static_cast<std::size_t>(x.rank());
    std::vector<std::int64_t> values(rank, value);
    if (in.has(name)) {
        values = name.ends_with("mask") ? in.booleans(name) : in.integers(name);
    }
    if (values.size() != rank) {
        in.fail("{} has {} entries, x {} has rank {}", name, values.size(), x.text(), rank);
    }
    return values;
}

Slice slice_of(const Arguments& in) {
    const Shape& x = in.type("x").shape;
    Slice slice{per_axis(in, "begin", x, 0), per_axis(in, "stride", x, 1), {}, {}};
    const auto end = per_axis(in, "end", x, 0), begin_mask = per_axis(in, "begin_mask", x, 0);
    const auto end_mask = per_axis(in, "end_mask", x, 0),
               squeeze_mask = per_axis(in, "squeeze_mask", x, 0);
    for (std::size_t i = 0; i < end.size(); ++i) {
        const std::int64_t size = x[static_cast<int>(i)];
        std::int64_t &begin = slice.begin[i], &stride = slice.stride[i];
        slice.squeezed.push_back(squeeze_mask[i] != 0);
        if (stride == 0) {
            in.fail("stride of axis {} is 0", i);
        }
        const bool back = stride < 0;
        begin = begin_mask[i] != 0 ? (back ? size - 1 : 0) : begin < 0 ? begin + size : begin;
        if (slice.squeezed[i]) {
            if (begin < 0 || begin >= size) {
                in.fail("index {} is outside axis {} of x {}", begin, i, x.text());
            }
            stride = 1;
            slice.size.push_back(1);
            continue;
        }
        // As NumPy does: ends beyond x are cut, and going back may end before the first element.
        const std::int64_t least = back ? -1 : 0, most = back ? size - 1 : size;
        begin = std::clamp(begin, least, std::max(least, most));
        std::int64_t stop = end_mask[i] != 0 ? (back ? -1 : size)
                                             : std::clamp(end[i] < 0 ? end[i] + size : end[i],
                                                          least, std::max(least, most));
        const std::int64_t span = back ? begin - stop : stop - begin,
                           step = back ? -stride : stride;
        slice.size.push_back(span <= 0 ? 0 : (span - 1) / step + 1);
        if (slice.size.back() == 0) {
            begin = 0;
        }
    }
    return slice;
}

std::vector<Type> infer_slice_by_index(const Arguments& in) {
    const Slice slice = slice_of(in);
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 0; i < slice.size.size(); ++i) {
        if (!slice.squeezed[i]) {
            sizes.push_back(slice.size[i]);
        }
    }
    return {Type::tensor(in.type("x").dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_slice_by_index(const Arguments& in) {
    const Slice slice = slice_of(in);
    auto y = reference::slice(in.tensor("x"), slice.begin, slice.stride, Shape(slice.size));
    y.shape = infer_slice_by_index(in).front().shape;
    return {std::move(y)};
}

std::vector<Type> infer_slice_update(const Arguments& in) {
    const Slice slice = slice_of(in);
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 0; i < slice.size.size(); ++i) {
        if (!slice.squeezed[i]) {
            sizes.push_back(slice.size[i]);
        }
    }
    expect_shape(in, "update", Shape(sizes));
    expect_same_dtype(in, "x", "update");
    return {in.type("x")};
}

std::vector<reference::Tensor> evaluate_slice_update(const Arguments& in) {
    const Slice slice = slice_of(in);
    return {reference::slice_update(in.tensor("x"), in.tensor("update"), slice.begin, slice.stride,
                                    Shape(slice.size))};
}

std::vector<Type> infer_concat(const Arguments& in) {
    const auto types = in.types("values");
    if (types.empty()) {
        in.fail("values is empty");
    }
    const int at = axis(in, in.integer("axis"), types.front().shape);
    const bool interleave = in.boolean("interleave");
    Type result = types.front();
    for (std::size_t i = 1; i < types.size(); ++i) {
        const Shape& shape = types[i].shape;
        bool fits = shape.rank() == result.shape.rank() && types[i].dtype == result.dtype;
        for (int a = 0; fits && a < shape.rank(); ++a) {
            fits = (a == at && !interleave) || shape[a] == types.front().shape[a];
        }
        if (!fits) {
            in.fail("value {} is {}, value 0 is {}: {}", i, types[i].text(), types[0].text(),
                    interleave ? "interleaved values must be equal"
                               : fmt::format("only axis {} may differ", at));
        }
        result.shape[at] += shape[at];
    }
    return {result};
}

std::vector<reference::Tensor> evaluate_concat(const Arguments& in) {
    const Shape shape = infer_concat(in).front().shape;
    return {reference::concat(in.tensors("values"), axis(in, in.integer("axis"), shape),
                              in.boolean("interleave"), shape)};
}

/// The new axis of stack: in [-rank - 1, rank].
int stack_axis(const Arguments& in, int rank) {
    const std::int64_t at = in.integer("axis");
    if (at < -rank - 1 || at > rank) {
        in.fail("axis {} is not in [-{}, {}]", at, rank + 1, rank);
    }
    return static_cast<int>(at < 0 ? at + rank + 1 : at);
}

std::vector<Type> infer_stack(const Arguments& in) {
    const auto types = in.types("values");
    if (types.empty()) {
        in.fail("values is empty");
    }
    for (std::size_t i = 1; i < types.size(); ++i) {
        if (types[i] != types[0]) {
            in.fail("value {} is {}, value 0 is {}: they must be equal", i, types[i].text(),
                    types[0].text());
        }
    }
    auto sizes = types.front().shape.sizes();
    sizes.insert(sizes.begin() + stack_axis(in, types.front().shape.rank()),
                 static_cast<std::int64_t>(types.size()));
    return {Type::tensor(types.front().dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_stack(const Arguments& in) {
    const auto values = in.tensors("values");
    return {reference::stack(values, stack_axis(in, values.front()->shape.rank()))};
}

std::vector<std::int64_t> split_sizes(const Arguments& in, const Shape& x, int at) {
    if (!in.has("split_sizes")) {
        if (!in.has("num_splits")) {
            in.fail("'num_splits' or 'split_sizes' is missing");
        }
        const std::int64_t parts = in.integer("num_splits");
        if (parts < 1 || parts > 65536 || x[at] % parts != 0) {
            in.fail("axis {} of x {} does not split into {} equal parts", at, x.text(), parts);
        }
        return std::vector<std::int64_t>(static_cast<std::size_t>(parts), x[at] / parts);
    }
    auto sizes = in.integers("split_sizes");
    std::int64_t total = 0;
    for (const std::int64_t size : sizes) {
        if (size < 0) {
            in.fail("split_sizes must not be negative, it has {}", size);
        }
        total += size;
    }
    if (total != x[at]) {
        in.fail("split_sizes add up to {}, axis {} of x {} does not", total, at, x.text());
    }
    return sizes;
}

std::vector<Type> infer_split(const Arguments& in) {
    const Type& x = in.type("x");
    const int at = axis(in, in.integer("axis"), x.shape);
    std::vector<Type> types;
    for (const std::int64_t size : split_sizes(in, x.shape, at)) {
        Type part = x;
        part.shape[at] = size;
        types.push_back(part);
    }
    return types;
}

std::vector<reference::Tensor> evaluate_split(const Arguments& in) {
    const auto& x = in.tensor("x");
    const int at = axis(in, in.integer("axis"), x.shape);
    const auto rank = static_cast<std::size_t>(x.shape.rank());
    std::vector<std::int64_t> begin(rank, 0);
    std::vector<reference::Tensor> parts;
    for (const Type& type : infer_split(in)) {
        parts.push_back(reference::slice(x, begin, std::vector<std::int64_t>(rank, 1), type.shape));
        begin[static_cast<std::size_t>(at)] += type.shape[at];
    }
    return parts;
}

}  // namespace

std::vector<Schema> slicing() {
    return {
        {"slice_by_size",
         "the box of `size` elements from `begin`; size -1 means to the end",
         {tensor("x"), constant("begin"), constant("size")},
         infer_slice_by_size,
         evaluate_slice_by_size},
        {"slice_by_index",
         "x[begin:end:stride] of every axis as NumPy reads it; masks ignore begin or end, or drop "
         "the axis",
         {tensor("x"), constant("begin"), constant("end"), optional_constant("stride"),
          optional_constant("begin_mask"), optional_constant("end_mask"),
          optional_constant("squeeze_mask")},
         infer_slice_by_index,
         evaluate_slice_by_index},
        {"slice_update",
         "x with x[begin:end:stride] replaced by update",
         {tensor("x"), tensor("update"), constant("begin"), constant("end"),
          optional_constant("stride"), optional_constant("begin_mask"),
          optional_constant("end_mask"), optional_constant("squeeze_mask")},
         infer_slice_update,
         evaluate_slice_update},
        {"concat",
         "values joined along axis; interleaved, element i of every value in turn",
         {tensors("values"), constant("axis"), constant("interleave", Literal::boolean(false))},
         infer_concat,
         evaluate_concat},
        {"stack",
         "equal values joined along a new axis",
         {tensors("values"), constant("axis")},
         infer_stack,
         evaluate_stack},
        {"split",
         "x cut along axis into num_splits equal parts or parts of split_sizes",
         {tensor("x"), constant("axis"), optional_constant("num_splits"),
          optional_constant("split_sizes")},
         infer_split,
         evaluate_split},
    };
}

}  // namespace pome::mil::ops
