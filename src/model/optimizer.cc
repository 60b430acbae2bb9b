#include "model/optimizer.h"

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

}  // namespace

mil::Function adamw_function(const Shape& shape, DType dtype, const StateForm& form) {
    expect_matrix(shape);
    Builder b;
    const Type type = Type::tensor(dtype, shape);
    const Value w = b.input("w", type);
    const Value w_low = form.weights ? b.input("w_lo", type) : Value{};
    const Value m = b.input("m", type), v = b.input("v", type);
    const Value v_low = form.second_moment ? b.input("v_lo", type) : Value{};
    const Value g = b.input("g", type);
    const Value scalars = b.input("scalars", Type::tensor(dtype, {1, update_scalar_count, 1, 1}));
    std::int64_t next = 0;
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

    give(b, w_after.high, "new_w");
    if (form.weights) {
        give(b, w_after.low, "new_w_lo");
    }
    give(b, m_after, "new_m");
    give(b, v_after.high, "new_v");
    if (form.second_moment) {
        give(b, v_after.low, "new_v_lo");
    }
    return b.take();
}

mil::Function gradient_size_function(const Shape& shape, DType dtype) {
    expect_matrix(shape);
    Builder b;
    const Value g = b.input("g", Type::tensor(dtype, shape));
    const Value size = b.unary("abs", g);
    const Value peak =
        b.call("reduce_max",
               {{"axes", b.integers({1, 2, 3})}, {"keep_dims", b.boolean(true)}, {"x", size}});
    // Never zero, so that a gradient of zeros is 0 / 2^-14.
    const Value divisor = b.call("maximum", {{"x", peak}, {"y", b.number(dtype, 0x1p-14)}});
    const Value ratio = b.real_div(size, divisor);
    const Value rows = b.reduce_sum(b.mul(ratio, ratio), {3}, true);
    const Value mean = b.call(
        "reduce_mean", {{"axes", b.integers({1})}, {"keep_dims", b.boolean(true)}, {"x", rows}});
    give(b, peak, "peak");
    give(b, mean, "mean_square");
    return b.take();
}

mil::Function accumulate_function(const Shape& shape, DType dtype) {
    expect_matrix(shape);
    Builder b;
    const Type type = Type::tensor(dtype, shape);
    const Value sum = b.input("sum", type), low = b.input("sum_lo", type), g = b.input("g", type);
    const Pair after = compensated_sum(b, sum, low, g);
    give(b, after.high, "new_sum");
    give(b, after.low, "new_sum_lo");
    return b.take();
}

}  // namespace pome::model
