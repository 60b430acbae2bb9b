#include <algorithm>
#include <cmath>
#include <numeric>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

std::vector<Type> infer_reshape(const Arguments& in) {
    const Type& x = in.type("x");
    auto sizes = in.integers("shape");
    std::int64_t known = 1;
    std::int64_t* open = nullptr;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (sizes[i] == 0 && static_cast<int>(i) < x.shape.rank()) {
            sizes[i] = x.shape[static_cast<int>(i)];
        }
        if (sizes[i] < -1 || (sizes[i] == -1 && open != nullptr)) {
            in.fail("shape {} may have one -1 only", Shape(sizes).text());
        }
        if (sizes[i] == -1) {
            open = &sizes[i];
        } else {
            known *= sizes[i];
        }
    }
    const std::int64_t elements = x.shape.elements();
    if (open != nullptr && known > 0 && elements % known == 0) {
        *open = elements / known;
    }
    const Shape shape(sizes);
    if (!shape.is_static() || shape.elements() != elements) {
        in.fail("x {} has {} elements, shape {} does not", x.shape.text(), elements, shape.text());
    }
    return {Type::tensor(x.dtype, shape)};
}

std::vector<Type> infer_expand_dims(const Arguments& in) {
    const Type& x = in.type("x");
    auto given = in.integers("axes");
    const int rank = x.shape.rank() + static_cast<int>(given.size());
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(rank), 0);
    for (const std::int64_t value : given) {
        const std::int64_t at = value < 0 ? value + rank : value;
        if (at < 0 || at >= rank || sizes[static_cast<std::size_t>(at)] != 0) {
            in.fail("axes do not fit rank {}", rank);
        }
        sizes[static_cast<std::size_t>(at)] = 1;
    }
    int next = 0;
    for (auto& size : sizes) {
        if (size == 0) {
            size = x.shape[next++];
        }
    }
    return {Type::tensor(x.dtype, Shape(sizes))};
}

std::vector<Type> infer_squeeze(const Arguments& in) {
    const Type& x = in.type("x");
    std::vector<std::int64_t> sizes;
    const auto dropped = in.has("axes") ? axes(in, "axes", x.shape) : std::vector<int>{};
    for (int i = 0; i < x.shape.rank(); ++i) {
        const bool listed = std::find(dropped.begin(), dropped.end(), i) != dropped.end();
        if (listed && x.shape[i] != 1) {
            in.fail("axis {} of x {} is not 1", i, x.shape.text());
        }
        if (!(listed || (!in.has("axes") && x.shape[i] == 1))) {
            sizes.push_back(x.shape[i]);
        }
    }
    return {Type::tensor(x.dtype, Shape(sizes))};
}

/// The same elements under the inferred shape.
template <std::vector<Type> (*infer)(const Arguments&)>
std::vector<reference::Tensor> evaluate_view(const Arguments& in) {
    return {reference::Tensor(infer(in).front().shape, in.tensor("x").data)};
}

std::vector<int> permutation(const Arguments& in, const Shape& shape) {
    const auto perm = in.integers("perm");
    if (static_cast<int>(perm.size()) != shape.rank()) {
        in.fail("perm has {} entries, x {}", perm.size(), shape.text());
    }
    std::vector<int> result;
    for (const std::int64_t value : perm) {
        const int one = axis(in, value, shape);
        if (std::find(result.begin(), result.end(), one) != result.end()) {
            in.fail("perm names axis {} twice", value);
        }
        result.push_back(one);
    }
    return result;
}

std::vector<Type> infer_transpose(const Arguments& in) {
    const Type& x = in.type("x");
    std::vector<std::int64_t> sizes;
    for (const int one : permutation(in, x.shape)) {
        sizes.push_back(x.shape[one]);
    }
    return {Type::tensor(x.dtype, Shape(sizes))};
}

std::vector<Type> infer_slice_by_size(const Arguments& in) {
    const Type& x = in.type("x");
    const auto begin = in.integers("begin");
    auto size = in.integers("size");
    if (static_cast<int>(begin.size()) != x.shape.rank() || begin.size() != size.size()) {
        in.fail("begin and size must have {} entries like x {}", x.shape.rank(), x.shape.text());
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

std::vector<Type> infer_concat(const Arguments& in) {
    const auto types = in.types("values");
    if (types.empty()) {
        in.fail("values is empty");
    }
    const int at = axis(in, in.integer("axis"), types.front().shape);
    Type result = types.front();
    for (std::size_t i = 1; i < types.size(); ++i) {
        const Shape& shape = types[i].shape;
        bool fits = shape.rank() == result.shape.rank() && types[i].dtype == result.dtype;
        for (int a = 0; fits && a < shape.rank(); ++a) {
            fits = a == at || shape[a] == result.shape[a];
        }
        if (!fits) {
            in.fail("value {} is {}, value 0 is {}: only axis {} may differ", i, types[i].text(),
                    types[0].text(), at);
        }
        result.shape[at] += shape[at];
    }
    return {result};
}

std::vector<Type> infer_split(const Arguments& in) {
    const Type& x = in.type("x");
    const int at = axis(in, in.integer("axis"), x.shape);
    std::vector<std::int64_t> sizes;
    if (in.has("split_sizes")) {
        sizes = in.integers("split_sizes");
    } else {
        const std::int64_t parts = in.has("num_splits") ? in.integer("num_splits") : 0;
        if (parts < 1 || parts > 65536 || x.shape[at] % parts != 0) {
            in.fail("axis {} of x {} does not split into {} parts", at, x.shape.text(), parts);
        }
        sizes.assign(static_cast<std::size_t>(parts), x.shape[at] / parts);
    }
    if (std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) != x.shape[at] ||
        std::any_of(sizes.begin(), sizes.end(), [](std::int64_t size) { return size < 0; })) {
        in.fail("split_sizes do not add up to axis {} of x {}", at, x.shape.text());
    }
    std::vector<Type> types;
    for (const std::int64_t size : sizes) {
        Type part = x;
        part.shape[at] = size;
        types.push_back(part);
    }
    return types;
}

std::vector<reference::Tensor> evaluate_split(const Arguments& in) {
    const auto& x = in.tensor("x");
    const int at = axis(in, in.integer("axis"), x.shape);
    std::vector<reference::Tensor> parts;
    std::vector<std::int64_t> begin(static_cast<std::size_t>(x.shape.rank()), 0);
    for (const Type& type : infer_split(in)) {
        parts.push_back(reference::slice(x, begin, type.shape));
        begin[static_cast<std::size_t>(at)] += type.shape[at];
    }
    return parts;
}

std::vector<reference::Tensor> evaluate_concat(const Arguments& in) {
    const Type result = infer_concat(in).front();
    if (in.boolean("interleave")) {
        fail(Code::unsupported, "mil.concat", "interleaved concat is not interpreted {}",
             where(in.operation()));
    }
    return {reference::concat(in.tensors("values"), axis(in, in.integer("axis"), result.shape),
                              result.shape)};
}

std::vector<Type> infer_pad(const Arguments& in) {
    const Type& x = in.type("x");
    const auto pad = in.integers("pad");
    if (pad.size() % 2 != 0 || static_cast<int>(pad.size()) > 2 * x.shape.rank() ||
        std::any_of(pad.begin(), pad.end(),
                    [](std::int64_t n) { return n < 0 || n > (std::int64_t{1} << 32); })) {
        in.fail("pad must have two entries an axis of x {}, none negative", x.shape.text());
    }
    Type result = x;
    const int first = x.shape.rank() - static_cast<int>(pad.size() / 2);
    for (std::size_t i = 0; i < pad.size() / 2; ++i) {
        result.shape[first + static_cast<int>(i)] += pad[2 * i] + pad[2 * i + 1];
    }
    return {result};
}

std::vector<reference::Tensor> evaluate_pad(const Arguments& in) {
    if (in.text("mode") != "constant") {
        fail(Code::unsupported, "mil.pad", "mode '{}' is not interpreted {}", in.text("mode"),
             where(in.operation()));
    }
    const auto& x = in.tensor("x");
    const auto pad = in.integers("pad");
    std::vector<std::int64_t> before(static_cast<std::size_t>(x.shape.rank()), 0);
    const std::size_t first = before.size() - pad.size() / 2;
    for (std::size_t i = 0; i < pad.size() / 2; ++i) {
        before[first + i] = pad[2 * i];
    }
    return {reference::pad(x, before, infer_pad(in).front().shape, in.number("constant_val"))};
}

std::vector<Type> infer_tile(const Arguments& in) {
    Type result = in.type("x");
    const auto reps = in.integers("reps");
    if (static_cast<int>(reps.size()) != result.shape.rank()) {
        in.fail("reps has {} entries, x {}", reps.size(), result.shape.text());
    }
    for (std::size_t i = 0; i < reps.size(); ++i) {
        if (reps[i] < 1) {
            in.fail("reps must be at least 1");
        }
        result.shape[static_cast<int>(i)] *= reps[i];
    }
    return {result};
}

std::vector<Type> infer_cast(const Arguments& in) {
    const auto dtype = dtype_from_name(in.text("dtype"));
    if (!dtype) {
        in.fail("dtype '{}' is unknown", in.text("dtype"));
    }
    return {Type::tensor(*dtype, in.type("x").shape)};
}

std::vector<reference::Tensor> evaluate_cast(const Arguments& in) {
    const auto dtype = infer_cast(in).front().dtype;
    if (is_floating(dtype)) {
        return {in.tensor("x")};
    }
    return {reference::unary(in.tensor("x"), [dtype](double x) {
        return dtype == DType::boolean ? (x != 0.0 ? 1.0 : 0.0) : std::trunc(x);
    })};
}

std::vector<Type> infer_gather(const Arguments& in) {
    const Type &x = in.type("x"), &indices = in.type("indices");
    const int at = axis(in, in.integer("axis"), x.shape);
    if (in.integer("batch_dims") != 0) {
        fail(Code::unsupported, "mil.gather", "batch_dims other than 0 {}", where(in.operation()));
    }
    std::vector<std::int64_t> sizes(x.shape.begin(), x.shape.begin() + at);
    sizes.insert(sizes.end(), indices.shape.begin(), indices.shape.end());
    sizes.insert(sizes.end(), x.shape.begin() + at + 1, x.shape.end());
    return {Type::tensor(x.dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_gather(const Arguments& in) {
    const auto& x = in.tensor("x");
    const auto& indices = in.tensor("indices");
    const int at = axis(in, in.integer("axis"), x.shape);
    for (const double index : indices.data) {
        if (!(index >= -static_cast<double>(x.shape[at]) &&
              index < static_cast<double>(x.shape[at]))) {
            in.fail("index {} is outside axis {} of x {}", index, at, x.shape.text());
        }
    }
    return {reference::gather(x, indices, at, infer_gather(in).front().shape)};
}

std::vector<Type> same_as_x(const Arguments& in) {
    return {in.type("x")};
}

}  // namespace

std::vector<Schema> layout() {
    return {
        {"reshape",
         "the same elements, row-major, under another shape; one size may be -1",
         {tensor("x"), constant("shape")},
         infer_reshape,
         evaluate_view<infer_reshape>},
        {"expand_dims",
         "axes of size 1 inserted",
         {tensor("x"), constant("axes")},
         infer_expand_dims,
         evaluate_view<infer_expand_dims>},
        {"squeeze",
         "axes of size 1 removed",
         {tensor("x"), optional_constant("axes")},
         infer_squeeze,
         evaluate_view<infer_squeeze>},
        {"identity", "x", {tensor("x")}, same_as_x, evaluate_view<same_as_x>},
        {"transpose",
         "axis i of the result is axis perm[i] of x",
         {tensor("x"), constant("perm")},
         infer_transpose,
         [](const Arguments& in) {
             const auto& x = in.tensor("x");
             return std::vector{reference::transpose(x, permutation(in, x.shape))};
         }},
        {"slice_by_size",
         "the box of `size` elements from `begin`; size -1 means to the end",
         {tensor("x"), constant("begin"), constant("size")},
         infer_slice_by_size,
         [](const Arguments& in) {
             return std::vector{reference::slice(in.tensor("x"), in.integers("begin"),
                                                 infer_slice_by_size(in).front().shape)};
         }},
        {"concat",
         "values joined along axis",
         {{"values", Parameter::Kind::tensors, {}, true, std::nullopt},
          constant("axis"),
          constant("interleave", Literal::boolean(false))},
         infer_concat,
         evaluate_concat},
        {"split",
         "x cut along axis into num_splits equal parts or parts of split_sizes",
         {tensor("x"), constant("axis"), optional_constant("num_splits"),
          optional_constant("split_sizes")},
         infer_split,
         evaluate_split},
        {"pad",
         "x surrounded by constant_val; pad holds two entries for each of the last axes",
         {tensor("x"), constant("pad"), constant("mode", Literal::text("constant")),
          constant("constant_val", Literal::number(DType::fp32, 0.0))},
         infer_pad,
         evaluate_pad},
        {"tile",
         "x repeated reps times along each axis",
         {tensor("x"), constant("reps")},
         infer_tile,
         [](const Arguments& in) {
             return std::vector{reference::tile(in.tensor("x"), infer_tile(in).front().shape)};
         }},
        {"cast",
         "x in another dtype; to integers truncates",
         {tensor("x"), constant("dtype")},
         infer_cast,
         evaluate_cast},
        {"gather",
         "elements of x along axis by index",
         {tensor("x"), tensor("indices"), constant("axis", Literal::integer(0)),
          constant("batch_dims", Literal::integer(0)),
          constant("validate_indices", Literal::boolean(false))},
         infer_gather,
         evaluate_gather},
    };
}

}  // namespace pome::mil::ops
