#include "model/optimizer.h"

#include <array>

#include "base/error.h"

namespace pome::model {
namespace {

using mil::Builder;
using mil::Type;
using mil::Value;

struct Pair {
    Value high, low;
};

/// high + low + change, with what rounding takes from the new high in the new low. Exact but for
/// the rounding of low + change while |high| >= |low + change|; otherwise the error is at most half
/// of that sum's last bit.
Pair compensated_sum(Builder& b, const Value& high, const Value& low, const Value& change) {
    const Value t = b.add(low, change);
    const Value sum = b.add(high, t);
    return {sum, b.sub(t, b.sub(sum, high))};
}

void give(Builder& b, const Value& value, const std::string& name) {
    b.output(b.rename(value, name));
}

void expect_matrix(const Shape& shape) {
    if (shape.rank() != 4 || shape[0] != 1 || shape[2] != 1) {
        fail(Code::invalid_argument, "model.optimizer", "shape {} is not [1, R, 1, C]",
             shape.text());
    }
}

std::string numbered(std::string_view part, std::size_t index) {
    return std::string(part) + "_" + std::to_string(index);
}

/// The part of adamw_function() that is about tensor `index`.
void update_one(Builder& b, const Shape& shape, DType dtype, const StateForm& form,
                std::size_t index, const Value& scalars) {
    const Type type = Type::tensor(dtype, shape);
    const auto input = [&](std::string_view part) { return Value{numbered(part, index), type}; };
    const Value w = input("w"), m = input("m"), v = input("v"), g = input("g");
    const Value w_low = input("w_lo"), v_low = input("v_lo");  // where the form has them
    std::int64_t next = static_cast<std::int64_t>(index) * update_scalar_count;
    const auto scalar = [&] { return b.slice(scalars, {0, next++, 0, 0}, {1, 1, 1, 1}); };
    const Value gradient_factor = scalar(), first_share = scalar(), second_share = scalar(),
                epsilon = scalar(), rate = scalar(), decay = scalar(), rescale = scalar(),
                square_rescale = scalar();
    const Value low_scale = form.second_moment ? scalar() : Value{},
                low_unscale = form.second_moment ? scalar() : Value{};

    const Value gradient = b.mul(g, gradient_factor);
    const Value m_before = b.mul(m, rescale);
    const Value m_after = b.add(m_before, b.mul(b.sub(gradient, m_before), first_share));

    const Value v_before = b.mul(v, square_rescale);
    const Value v_change = b.mul(b.sub(b.mul(gradient, gradient), v_before), second_share);
    Pair v_after;
    if (form.second_moment) {
        const Value t = b.add(b.mul(v_low, square_rescale), v_change);
        v_after.high = b.add(v_before, b.mul(t, low_unscale));
        v_after.low = b.sub(t, b.mul(b.sub(v_after.high, v_before), low_scale));
    } else {
        v_after.high = b.add(v_before, v_change);
    }

    const Value direction = b.real_div(m_after, b.add(b.unary("sqrt", v_after.high), epsilon));
    const Value change = b.add(b.mul(direction, rate), b.mul(w, decay));
    Pair w_after;
    if (form.weights) {
        const Value t = b.sub(w_low, change);
        w_after.high = b.add(w, b.scale(t, 1.0 / weight_low_scale));
        w_after.low = b.sub(t, b.scale(b.sub(w_after.high, w), weight_low_scale));
    } else {
        w_after.high = b.sub(w, change);
    }

    const auto out = [&](const Value& value, std::string_view part) {
        give(b, value, "new_" + numbered(part, index));
    };
    out(w_after.high, "w");
    if (form.weights) {
        out(w_after.low, "w_lo");
    }
    out(m_after, "m");
    out(v_after.high, "v");
    if (form.second_moment) {
        out(v_after.low, "v_lo");
    }
}

}  // namespace

mil::Function adamw_function(const std::vector<Shape>& shapes, DType dtype, const StateForm& form) {
    Builder b;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        expect_matrix(shapes[i]);
        const Type type = Type::tensor(dtype, shapes[i]);
        for (const std::string_view part : {"w", "w_lo", "m", "v", "v_lo", "g"}) {
            if ((part != "w_lo" || form.weights) && (part != "v_lo" || form.second_moment)) {
                b.input(numbered(part, i), type);
            }
        }
    }
    const auto count = static_cast<std::int64_t>(shapes.size()) * update_scalar_count;
    const Value scalars = b.input("scalars", Type::tensor(dtype, {1, count, 1, number_row}));
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        update_one(b, shapes[i], dtype, form, i, scalars);
    }
    return b.take();
}

mil::Function gradient_size_function(const std::vector<Shape>& shapes, DType dtype) {
    Builder b;
    std::vector<Value> gradients, sizes;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        expect_matrix(shapes[i]);
        gradients.push_back(b.input(numbered("g", i), Type::tensor(dtype, shapes[i])));
    }
    for (const Value& g : gradients) {
        const Value size = b.unary("abs", g);
        const Value peak =
            b.call("reduce_max",
                   {{"axes", b.integers({1, 2, 3})}, {"keep_dims", b.boolean(true)}, {"x", size}});
        // Never zero, so that a gradient of zeros is 0 / 2^-14.
        const Value divisor = b.call("maximum", {{"x", peak}, {"y", b.number(dtype, 0x1p-14)}});
        const Value ratio = b.real_div(size, divisor);
        const Value rows = b.reduce_sum(b.mul(ratio, ratio), {3}, true);
        sizes.push_back(peak);
        // Each row's share of the mean first: their sum could overflow.
        const double share = 1.0 / static_cast<double>(g.shape()[1]);
        sizes.push_back(b.reduce_sum(b.scale(rows, share), {1}, true));
    }
    const std::vector<Value> row(number_row, b.concat(sizes, 1));
    give(b, b.concat(row, 3), "sizes");
    return b.take();
}

mil::Function accumulate_function(const std::vector<Shape>& shapes, DType dtype) {
    Builder b;
    std::vector<std::array<Value, 3>> inputs;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        expect_matrix(shapes[i]);
        const Type type = Type::tensor(dtype, shapes[i]);
        inputs.push_back({b.input(numbered("sum", i), type), b.input(numbered("sum_lo", i), type),
                          b.input(numbered("g", i), type)});
    }
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        const Pair after = compensated_sum(b, inputs[i][0], inputs[i][1], inputs[i][2]);
        give(b, after.high, "new_" + numbered("sum", i));
        give(b, after.low, "new_" + numbered("sum_lo", i));
    }
    return b.take();
}

}  // namespace pome::model
