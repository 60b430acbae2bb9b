#include <algorithm>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

/// The wanted sizes with 0 replaced by x's own size; the place of the one -1, -1 if there is none.
int resolve_zeros(const Arguments& in, const Shape& x, std::vector<std::int64_t>& sizes) {
    int open = -1;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (sizes[i] == 0 && static_cast<int>(i) < x.rank()) {
            sizes[i] = x[static_cast<int>(i)];
        }
        if (sizes[i] < -1) {
            in.fail("shape has the size {}; -1 and more are allowed", sizes[i]);
        }
        if (sizes[i] != -1) {
            continue;
        }
        if (open >= 0) {
            in.fail("shape {} leaves more than one size open", Shape(sizes).text());
        }
        open = static_cast<int>(i);
    }
    return open;
}

std::vector<Type> infer_reshape(const Arguments& in) {
    const Type& x = in.type("x");
    auto sizes = in.integers("shape");
    const int open = resolve_zeros(in, x.shape, sizes);
    Shape shape(sizes);
    const std::int64_t elements = x.shape.elements();
    if (open >= 0) {
        shape[open] = 1;
        const std::int64_t known = shape.elements();
        shape[open] = known == 0 ? -1 : elements / known;
    }
    if (!shape.is_static() || shape.elements() != elements) {
        in.fail("x {} has {} elements, shape {} does not", x.shape.text(), elements,
                Shape(sizes).text());
    }
    return {Type::tensor(x.dtype, shape)};
}

std::vector<Type> infer_expand_dims(const Arguments& in) {
    const Type& x = in.type("x");
    const auto given = in.integers("axes");
    const int rank = x.shape.rank() + static_cast<int>(given.size());
    std::vector<bool> added(static_cast<std::size_t>(rank), false);
    for (const std::int64_t value : given) {
        const std::int64_t at = value < 0 ? value + rank : value;
        if (at < 0 || at >= rank) {
            in.fail("axis {0} is not in [-{1}, {1})", value, rank);
        }
        if (added[static_cast<std::size_t>(at)]) {
            in.fail("axis {} is given twice", value);
        }
        added[static_cast<std::size_t>(at)] = true;
    }
    std::vector<std::int64_t> sizes;
    auto own = x.shape.begin();
    for (const bool one : added) {
        sizes.push_back(one ? 1 : *own++);
    }
    return {Type::tensor(x.dtype, Shape(sizes))};
}

std::vector<Type> infer_squeeze(const Arguments& in) {
    const Type& x = in.type("x");
    const auto listed = axes(in, "axes", x.shape);
    std::vector<std::int64_t> sizes;
    for (int i = 0; i < x.shape.rank(); ++i) {
        const bool dropped = std::find(listed.begin(), listed.end(), i) != listed.end();
        if (dropped && in.has("axes") && x.shape[i] != 1) {
            in.fail("axis {} of x {} is not 1", i, x.shape.text());
        }
        if (!dropped || x.shape[i] != 1) {
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
        in.fail("perm has {} entries, x {} has rank {}", perm.size(), shape.text(), shape.rank());
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

std::vector<reference::Tensor> evaluate_transpose(const Arguments& in) {
    const auto& x = in.tensor("x");
    return {reference::transpose(x, permutation(in, x.shape))};
}

/// Two numbers, before and after, for every axis of x; `pad` gives them for the last axes.
std::vector<std::int64_t> whole_pad(const Arguments& in, const Shape& x) {
    auto pad = in.integers("pad");
    const auto whole = 2 * static_cast<std::size_t>(x.rank());
    if (pad.size() % 2 != 0 || pad.size() > whole) {
        in.fail("pad has {} entries; x {} takes two an axis, at most {}", pad.size(), x.text(),
                whole);
    }
    for (const std::int64_t one : pad) {
        if (one < 0) {
            in.fail("pad must not be negative, it has {}", one);
        }
    }
    pad.insert(pad.begin(), whole - pad.size(), 0);
    return pad;
}

std::vector<Type> infer_pad(const Arguments& in) {
    const Type& x = in.type("x");
    const auto pad = whole_pad(in, x.shape);
    const std::string& mode = in.text("mode");
    if (mode != "constant" && mode != "reflect" && mode != "replicate") {
        in.fail("mode '{}' is not constant, reflect or replicate", mode);
    }
    Type result = x;
    for (int i = 0; i < x.shape.rank(); ++i) {
        const std::int64_t before = pad[2 * static_cast<std::size_t>(i)],
                           after = pad[2 * static_cast<std::size_t>(i) + 1];
        const std::int64_t most = mode == "reflect" ? x.shape[i] - 1
                                  : x.shape[i] > 0  ? before + after
                                                    : 0;
        if (mode != "constant" && (before > most || after > most)) {
            in.fail("axis {} of x {} is too short to {} {} before and {} after", i, x.shape.text(),
                    mode, before, after);
        }
        result.shape[i] += before + after;
    }
    return {result};
}

std::vector<reference::Tensor> evaluate_pad(const Arguments& in) {
    const auto& x = in.tensor("x");
    const auto pad = whole_pad(in, x.shape);
    std::vector<std::int64_t> before;
    for (std::size_t i = 0; i < pad.size(); i += 2) {
        before.push_back(pad[i]);
    }
    const Shape shape = infer_pad(in).front().shape;
    const std::string& mode = in.text("mode");
    if (mode == "reflect") {
        return {reference::pad_reflect(x, before, shape)};
    }
    if (mode == "replicate") {
        return {reference::pad_replicate(x, before, shape)};
    }
    return {reference::pad(x, before, shape, in.number("constant_val"))};
}

std::vector<Type> infer_tile(const Arguments& in) {
    Type result = in.type("x");
    const auto reps = in.integers("reps");
    if (static_cast<int>(reps.size()) != result.shape.rank()) {
        in.fail("reps has {} entries, x {} has rank {}", reps.size(), result.shape.text(),
                result.shape.rank());
    }
    for (std::size_t i = 0; i < reps.size(); ++i) {
        if (reps[i] < 1) {
            in.fail("reps must be at least 1, it has {}", reps[i]);
        }
        result.shape[static_cast<int>(i)] *= reps[i];
    }
    return {result};
}

std::vector<reference::Tensor> evaluate_tile(const Arguments& in) {
    return {reference::tile(in.tensor("x"), infer_tile(in).front().shape)};
}

std::vector<Type> infer_reverse(const Arguments& in) {
    axes(in, "axes", in.type("x").shape);
    return {in.type("x")};
}

std::vector<reference::Tensor> evaluate_reverse(const Arguments& in) {
    const auto& x = in.tensor("x");
    return {reference::reverse(x, axes(in, "axes", x.shape))};
}

}  // namespace

std::vector<Schema> layout() {
    return {
        {"reshape",
         "the same elements, row-major, under another shape; one size may be -1, 0 keeps x's own",
         {tensor("x"), constant("shape")},
         infer_reshape,
         evaluate_view<infer_reshape>},
        {"expand_dims",
         "axes of size 1 inserted",
         {tensor("x"), constant("axes")},
         infer_expand_dims,
         evaluate_view<infer_expand_dims>},
        {"squeeze",
         "axes of size 1 removed, all of them by default",
         {tensor("x"), optional_constant("axes")},
         infer_squeeze,
         evaluate_view<infer_squeeze>},
        {"identity", "x", {tensor("x")}, same_as_x, evaluate_view<same_as_x>},
        {"transpose",
         "axis i of the result is axis perm[i] of x",
         {tensor("x"), constant("perm")},
         infer_transpose,
         evaluate_transpose},
        {"pad",
         "x surrounded by constant_val or by its own elements; pad holds two entries for each of "
         "the last axes",
         {tensor("x"), constant("pad"), constant("mode", Literal::text("constant")),
          constant("constant_val", Literal::number(DType::fp32, 0.0))},
         infer_pad,
         evaluate_pad},
        {"tile",
         "x repeated reps times along each axis",
         {tensor("x"), constant("reps")},
         infer_tile,
         evaluate_tile},
        {"reverse",
         "x with the order along axes turned round",
         {tensor("x"), optional_constant("axes")},
         infer_reverse,
         evaluate_reverse},
    };
}

}  // namespace pome::mil::ops
