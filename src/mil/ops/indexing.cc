#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

int batch_dims(const Arguments& in, const Shape& x, const Shape& indices, int at) {
    const std::int64_t count = in.integer("batch_dims");
    if (count < 0 || count > at || count > indices.rank()) {
        in.fail(
            "batch_dims {} must lie between 0 and axis {} and not exceed the rank of indices {}",
            count, at, indices.text());
    }
    for (int i = 0; i < static_cast<int>(count); ++i) {
        if (x[i] != indices[i]) {
            in.fail("x {} and indices {} differ on axis {} of {} batch axes", x.text(),
                    indices.text(), i, count);
        }
    }
    return static_cast<int>(count);
}

std::vector<Type> infer_gather(const Arguments& in) {
    const Type &x = in.type("x"), &indices = in.type("indices");
    const int at = axis(in, in.integer("axis"), x.shape),
              batch = batch_dims(in, x.shape, indices.shape, at);
    std::vector<std::int64_t> sizes(x.shape.begin(), x.shape.begin() + at);
    sizes.insert(sizes.end(), indices.shape.begin() + batch, indices.shape.end());
    sizes.insert(sizes.end(), x.shape.begin() + at + 1, x.shape.end());
    return {Type::tensor(x.dtype, Shape(sizes))};
}

/// Indices are data: they are checked when they are used, whatever validate_indices says.
void check_indices(const Arguments& in, const reference::Tensor& indices, std::int64_t size,
                   int at) {
    for (const double index : indices.data) {
        if (!(index >= -static_cast<double>(size) && index < static_cast<double>(size))) {
            fail(Code::evaluation_failed, "mil." + in.operation().op,
                 "index {} is outside axis {} of x {} {}", index, at, in.type("x").shape.text(),
                 where(in.operation()));
        }
    }
}

std::vector<reference::Tensor> evaluate_gather(const Arguments& in) {
    const auto &x = in.tensor("x"), &indices = in.tensor("indices");
    const int at = axis(in, in.integer("axis"), x.shape);
    check_indices(in, indices, x.shape[at], at);
    return {reference::gather(x, indices, at, static_cast<int>(in.integer("batch_dims")),
                              infer_gather(in).front().shape)};
}

std::vector<Type> infer_gather_along_axis(const Arguments& in) {
    const Type &x = in.type("x"), &indices = in.type("indices");
    const int at = axis(in, in.integer("axis"), x.shape);
    bool fits = indices.shape.rank() == x.shape.rank();
    for (int i = 0; fits && i < x.shape.rank(); ++i) {
        fits = i == at || x.shape[i] == indices.shape[i];
    }
    if (!fits) {
        in.fail("x {} and indices {} may differ on axis {} only", x.shape.text(),
                indices.shape.text(), at);
    }
    return {Type::tensor(x.dtype, indices.shape)};
}

std::vector<reference::Tensor> evaluate_gather_along_axis(const Arguments& in) {
    const auto &x = in.tensor("x"), &indices = in.tensor("indices");
    const int at = axis(in, in.integer("axis"), x.shape);
    check_indices(in, indices, x.shape[at], at);
    return {reference::gather_along_axis(x, indices, at)};
}

std::vector<Type> infer_gather_nd(const Arguments& in) {
    const Type &x = in.type("x"), &indices = in.type("indices");
    const std::int64_t batch = in.integer("batch_dims");
    if (indices.shape.rank() < 1 || batch < 0 || batch >= indices.shape.rank() ||
        batch + indices.shape[-1] > x.shape.rank()) {
        in.fail("x {}, indices {} and batch_dims {}: the last axis of indices names axes of x",
                x.shape.text(), indices.shape.text(), batch);
    }
    for (int i = 0; i < static_cast<int>(batch); ++i) {
        if (x.shape[i] != indices.shape[i]) {
            in.fail("x {} and indices {} differ on batch axis {}", x.shape.text(),
                    indices.shape.text(), i);
        }
    }
    std::vector<std::int64_t> sizes(indices.shape.begin(), indices.shape.end() - 1);
    sizes.insert(sizes.end(), x.shape.begin() + batch + indices.shape[-1], x.shape.end());
    return {Type::tensor(x.dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_gather_nd(const Arguments& in) {
    const auto &x = in.tensor("x"), &indices = in.tensor("indices");
    const Shape shape = infer_gather_nd(in).front().shape;
    const auto batch = static_cast<int>(in.integer("batch_dims"));
    const auto depth = static_cast<std::size_t>(indices.shape[-1]);
    for (std::size_t i = 0; i < indices.data.size(); ++i) {
        const int axis = batch + static_cast<int>(i % depth);
        const auto size = static_cast<double>(x.shape[axis]);
        if (!(indices.data[i] >= -size && indices.data[i] < size)) {
            fail(Code::evaluation_failed, "mil.gather_nd", "index {} is outside axis {} of x {} {}",
                 indices.data[i], axis, x.shape.text(), where(in.operation()));
        }
    }
    return {reference::gather_nd(x, indices, batch, shape)};
}

DType index_dtype(const Arguments& in, std::string_view name) {
    const auto dtype = dtype_from_name(in.text(name));
    if (!dtype || !is_integer(*dtype)) {
        in.fail("{} '{}' is not an integer type", name, in.text(name));
    }
    return *dtype;
}

std::vector<Type> infer_topk(const Arguments& in) {
    Type values = in.type("x");
    const int at = axis(in, in.integer("axis"), values.shape);
    const std::int64_t k = in.integer("k");
    if (k < 0 || k > values.shape[at]) {
        in.fail("k {} is not in [0, {}], the size of axis {}", k, values.shape[at], at);
    }
    values.shape[at] = k;
    Type indices = values;
    indices.dtype = index_dtype(in, "output_indices_dtype");
    if (!in.boolean("return_indices")) {
        return {values};
    }
    return {values, indices};
}

std::vector<reference::Tensor> evaluate_topk(const Arguments& in) {
    const auto& x = in.tensor("x");
    auto found = reference::topk(x, in.integer("k"), axis(in, in.integer("axis"), x.shape),
                                 in.boolean("ascending"));
    std::vector<reference::Tensor> results{std::move(found.values)};
    if (in.boolean("return_indices")) {
        results.push_back(std::move(found.indices));
    }
    return results;
}

std::vector<Type> infer_argsort(const Arguments& in) {
    axis(in, in.integer("axis"), in.type("x").shape);
    return {Type::tensor(DType::int32, in.type("x").shape)};
}

std::vector<reference::Tensor> evaluate_argsort(const Arguments& in) {
    const auto& x = in.tensor("x");
    const int at = axis(in, in.integer("axis"), x.shape);
    return {reference::topk(x, x.shape[at], at, in.boolean("ascending")).indices};
}

std::vector<Type> infer_argument(const Arguments& in) {
    const Type& x = in.type("x");
    const int at = axis(in, in.integer("axis"), x.shape);
    if (x.shape[at] == 0) {
        in.fail("axis {} of x {} has no elements", at, x.shape.text());
    }
    auto sizes = x.shape.sizes();
    if (in.boolean("keep_dims")) {
        sizes[static_cast<std::size_t>(at)] = 1;
    } else {
        sizes.erase(sizes.begin() + at);
    }
    return {Type::tensor(index_dtype(in, "output_dtype"), Shape(sizes))};
}

template <reference::Tensor (*reduce)(const reference::Tensor&, int)>
std::vector<reference::Tensor> evaluate_argument(const Arguments& in) {
    const auto& x = in.tensor("x");
    reference::Tensor y = reduce(x, axis(in, in.integer("axis"), x.shape));
    y.shape = infer_argument(in).front().shape;
    return {std::move(y)};
}

std::vector<Type> infer_shape(const Arguments& in) {
    return {Type::tensor(DType::int32, {in.type("x").shape.rank()})};
}

std::vector<reference::Tensor> evaluate_shape(const Arguments& in) {
    const Shape& shape = in.tensor("x").shape;
    return {
        reference::Tensor(Shape{shape.rank()}, std::vector<double>(shape.begin(), shape.end()))};
}

std::vector<Type> infer_range(const Arguments& in) {
    const double start = in.number("start"), end = in.number("end"), step = in.number("step");
    const double count = std::ceil((end - start) / step);
    if (!(count <= 0x1p31)) {
        in.fail("from {} to {} by {} has no length up to 2^31", start, end, step);
    }
    return {
        Type::tensor(in.type("start").dtype, {static_cast<std::int64_t>(std::max(count, 0.0))})};
}

std::vector<reference::Tensor> evaluate_range(const Arguments& in) {
    reference::Tensor y(infer_range(in).front().shape);
    for (std::size_t i = 0; i < y.data.size(); ++i) {
        y.data[i] = in.number("start") + static_cast<double>(i) * in.number("step");
    }
    return {std::move(y)};
}

}  // namespace

std::vector<Schema> indexing() {
    const Literal no = Literal::boolean(false), yes = Literal::boolean(true),
                  int32 = Literal::text("int32");
    const Literal zero = Literal::integer(0), last = Literal::integer(-1);
    const auto argument = [&](std::string_view name, std::string_view meaning, auto evaluate) {
        return Schema{name,
                      meaning,
                      {tensor("x", numbers), constant("axis", last), constant("keep_dims", no),
                       constant("output_dtype", int32)},
                      infer_argument,
                      evaluate};
    };
    return {
        {"gather",
         "elements of x along axis by index, for each of the batch_dims first axes by itself",
         {tensor("x"), tensor("indices", integers), constant("axis", zero),
          constant("batch_dims", zero), constant("validate_indices", no)},
         infer_gather,
         evaluate_gather},
        {"gather_along_axis",
         "y[.., i, ..] = x[.., indices[.., i, ..], ..] along axis",
         {tensor("x"), tensor("indices", integers), constant("axis", zero),
          constant("validate_indices", no)},
         infer_gather_along_axis,
         evaluate_gather_along_axis},
        {"gather_nd",
         "the parts of x that the rows of indices name",
         {tensor("x"), tensor("indices", integers), constant("batch_dims", zero),
          constant("validate_indices", no)},
         infer_gather_nd,
         evaluate_gather_nd},
        {"argsort",
         "the indices that put x in order along axis, the largest first unless ascending",
         {tensor("x", numbers), constant("axis", last), constant("ascending", no)},
         infer_argsort,
         evaluate_argsort},
        {"topk",
         "the k largest elements along axis in order and their indices",
         {tensor("x", numbers), constant("k", Literal::integer(1)), constant("axis", last),
          constant("ascending", no), constant("sort", yes), constant("return_indices", yes),
          constant("output_indices_dtype", int32)},
         infer_topk,
         evaluate_topk},
        argument("reduce_argmax", "index of the largest x along axis, the first of equals",
                 evaluate_argument<reference::reduce_argmax>),
        argument("reduce_argmin", "index of the smallest x along axis, the first of equals",
                 evaluate_argument<reference::reduce_argmin>),
        {"shape", "the sizes of x", {tensor("x")}, infer_shape, evaluate_shape},
        {"range_1d",
         "start, start + step, ... below end",
         {constant("start"), constant("end"), constant("step")},
         infer_range,
         evaluate_range},
    };
}

}  // namespace pome::mil::ops
