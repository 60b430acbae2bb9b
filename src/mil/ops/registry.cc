#include <algorithm>
#include <map>

#include "mil/ops/families.h"

namespace pome::mil {
namespace {

const std::vector<Schema>& all() {
    static const std::vector<Schema> schemas = [] {
        std::vector<Schema> joined;
        for (auto family :
             {ops::products(), ops::windows(), ops::elementwise_binary(), ops::elementwise_unary(),
              ops::reductions(), ops::normalization(), ops::layout(), ops::slicing(),
              ops::indexing(), ops::quantization(), ops::compressed_weights(), ops::rearranging(),
              ops::resizing(), ops::sampling(), ops::filling()}) {
            joined.insert(joined.end(), std::make_move_iterator(family.begin()),
                          std::make_move_iterator(family.end()));
        }
        std::sort(joined.begin(), joined.end(),
                  [](const Schema& a, const Schema& b) { return a.name < b.name; });
        return joined;
    }();
    return schemas;
}

}  // namespace

const Schema* find_schema(std::string_view op) {
    const auto& schemas = all();
    const auto found = std::lower_bound(
        schemas.begin(), schemas.end(), op,
        [](const Schema& schema, std::string_view name) { return schema.name < name; });
    return found != schemas.end() && found->name == op ? &*found : nullptr;
}

std::span<const Schema* const> schemas() {
    static const std::vector<const Schema*> pointers = [] {
        std::vector<const Schema*> list;
        for (const Schema& schema : all()) {
            list.push_back(&schema);
        }
        return list;
    }();
    return pointers;
}

namespace ops {

Parameter tensor(std::string_view name, std::vector<DType> dtypes) {
    return {name, Parameter::Kind::tensor, std::move(dtypes), true, std::nullopt};
}
Parameter optional_tensor(std::string_view name, std::vector<DType> dtypes) {
    return {name, Parameter::Kind::tensor, std::move(dtypes), false, std::nullopt};
}
Parameter tensors(std::string_view name) {
    return {name, Parameter::Kind::tensors, {}, true, std::nullopt};
}
Parameter constant(std::string_view name) {
    return {name, Parameter::Kind::constant, {}, true, std::nullopt};
}
Parameter constant(std::string_view name, Literal default_value) {
    return {name, Parameter::Kind::constant, {}, false, std::move(default_value)};
}
Parameter optional_constant(std::string_view name) {
    return {name, Parameter::Kind::constant, {}, false, std::nullopt};
}

int axis(const Arguments& in, std::int64_t axis, const Shape& shape) {
    const int rank = shape.rank();
    if (axis < -rank || axis >= rank) {
        in.fail("axis {0} of x {1} is not in [-{2}, {2})", axis, shape.text(), rank);
    }
    return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::vector<int> axes(const Arguments& in, std::string_view name, const Shape& shape) {
    std::vector<int> result;
    if (!in.has(name)) {
        for (int i = 0; i < shape.rank(); ++i) {
            result.push_back(i);
        }
        return result;
    }
    for (const std::int64_t value : in.integers(name)) {
        const int one = axis(in, value, shape);
        if (std::find(result.begin(), result.end(), one) != result.end()) {
            in.fail("axis {} is given twice", value);
        }
        result.push_back(one);
    }
    std::sort(result.begin(), result.end());
    return result;
}

Shape broadcast_shape(const Arguments& in, const Type& x, const Type& y) {
    Shape shape;
    if (!broadcast(x.shape, y.shape, shape)) {
        in.fail("x {} and y {} do not broadcast: sizes must be equal or 1", x.shape.text(),
                y.shape.text());
    }
    return shape;
}

void expect_shape(const Arguments& in, std::string_view name, const Shape& shape) {
    if (in.has(name) && in.type(name).shape != shape) {
        in.fail("{} {} must be {}", name, in.type(name).shape.text(), shape.text());
    }
}

void expect_same_dtype(const Arguments& in, std::string_view x, std::string_view y) {
    const Type &a = in.type(x), &b = in.type(y);
    if (a.dtype != b.dtype) {
        in.fail("{} is {} and {} is {}; cast one", x, a.text(), y, b.text());
    }
}

double number_like_x(const Arguments& in, std::string_view name) {
    const double value = in.number(name);
    const DType dtype = in.type("x").dtype;
    return in.has(name) || !is_floating(dtype) ? value
                                               : Literal::number(dtype, value).numbers().front();
}

const reference::Tensor* optional(const Arguments& in, std::string_view name) {
    return in.has(name) ? &in.tensor(name) : nullptr;
}

std::vector<Type> same_as_x(const Arguments& in) {
    return {in.type("x")};
}

}  // namespace ops
}  // namespace pome::mil
