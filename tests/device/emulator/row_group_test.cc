// Steps that are evaluated row by row together give what the scalar model gives op by op.
#include <gtest/gtest.h>

#include <functional>

#include "base/random.h"
#include "device/emulator/chip_model.h"
#include "device/emulator/emulator.h"
#include "device/emulator/plan.h"
#include "kernels/fast_paths.h"
#include "mil/builder.h"

namespace pome::device::emulator {
namespace {

using mil::Builder;
using mil::Type;
using mil::Value;

using Body = std::function<Value(Builder& b, const Value& x, const Value& r)>;

Value layer_norm(Builder& b, const Value& x, const Value&) {
    const double n = static_cast<double>(x.shape()[-1]);
    const auto centred = b.sub(x, b.scale(b.reduce_sum(x, {-1}, true), 1.0 / n));
    const auto variance = b.scale(b.reduce_sum(b.mul(centred, centred), {-1}, true), 1.0 / n);
    return b.mul(centred, b.pow(b.add(variance, b.number(DType::fp16, 1e-3)), -0.5));
}

Value masked_softmax(Builder& b, const Value& x, const Value& r) {
    return b.softmax(b.add(b.scale(x, 0.5), r), -1);
}

/// The op as Core ML has it, with both its parameters.
Value whole_layer_norm(Builder& b, const Value& x, const Value& r) {
    const auto gain = b.reshape(r, {x.shape()[-1]});
    const auto y = b.call("layer_norm", {{"x", x},
                                         {"axes", b.integers({-1})},
                                         {"gamma", gain},
                                         {"beta", gain},
                                         {"epsilon", b.number(DType::fp16, 1e-3)}});
    return y;
}

Value rms_norm(Builder& b, const Value& x, const Value&) {
    const auto squares = b.reduce_sum(b.mul(x, x), {-1}, true);
    const auto root = b.pow(b.add(squares, b.number(DType::fp16, 1e-3)), -0.5);
    return b.add(b.mul(root, x), b.mul(x, b.unary("sigmoid", squares)));
}

/// A norm whose difference has a reader of its own, so that it must exist.
Value kept_difference(Builder& b, const Value& x, const Value& r) {
    const auto centred = b.sub(x, b.reduce_sum(x, {-1}, true));
    const auto squares = b.reduce_sum(b.mul(centred, centred), {-1}, true);
    return b.add(b.mul(centred, squares), b.mul(centred, r));
}

/// The same, but an output of the program.
Value shown_difference(Builder& b, const Value& x, const Value&) {
    const auto sums = b.rename(b.reduce_sum(x, {-1}, true), "sums");
    b.output(sums);
    const auto centred = b.rename(b.sub(x, sums), "centred");
    b.output(centred);
    return b.mul(centred, b.reduce_sum(b.mul(centred, centred), {-1}, true));
}

/// A difference that is needed before its squares are summed, or whose squares are summed twice.
Value early_product(Builder& b, const Value& x, const Value&) {
    const auto sums = b.reduce_sum(x, {-1}, true);
    const auto centred = b.sub(x, sums);
    const auto early = b.mul(centred, sums);
    const auto squares = b.reduce_sum(b.mul(centred, centred), {-1}, true);
    return b.add(early, b.mul(centred, squares));
}
Value squares_twice(Builder& b, const Value& x, const Value&) {
    const auto centred = b.sub(x, b.reduce_sum(x, {-1}, true));
    const auto squares = b.reduce_sum(b.mul(centred, centred), {-1}, true);
    const auto again = b.reduce_sum(b.unary("square", centred), {-1}, true);
    return b.mul(centred, b.add(squares, again));
}

/// Two norms of one tensor, which is made here, and one of their sum.
Value three_norms(Builder& b, const Value& x, const Value& r) {
    const auto y = b.add(x, r);
    const auto both = b.add(layer_norm(b, y, r), rms_norm(b, y, r));
    return whole_layer_norm(b, both, r);
}

/// What is normalized is an output too, and so is what the norm divides by.
Value shown_source(Builder& b, const Value& x, const Value& r) {
    const auto y = b.rename(b.add(x, r), "source");
    b.output(y);
    const auto squares = b.rename(b.reduce_sum(b.mul(y, y), {-1}, true), "squares");
    b.output(squares);
    return b.add(layer_norm(b, y, r), b.mul(y, squares));
}

/// What is taken off comes from another sum than the one before.
Value foreign_subtrahend(Builder& b, const Value& x, const Value& r) {
    const auto sums = b.reduce_sum(x, {-1}, true);
    const auto other = b.reduce_sum(b.mul(x, r), {-1}, true);
    const auto centred = b.sub(x, other);
    const auto squares = b.reduce_sum(b.mul(centred, centred), {-1}, true);
    return b.mul(b.mul(centred, squares), sums);
}

/// The product is of the rows, not of the difference; the difference is the other way round.
Value not_quite_norms(Builder& b, const Value& x, const Value&) {
    const auto sums = b.reduce_sum(x, {-1}, true);
    const auto reversed = b.sub(sums, x);
    const auto squares = b.reduce_sum(b.mul(reversed, reversed), {-1}, true);
    return b.add(b.mul(reversed, squares), b.sub(x, b.mul(x, sums)));
}

/// The sums of the rows meet the columns: as long, but not of one row.
Value rows_on_columns(Builder& b, const Value& x, const Value&) {
    const auto sums = b.reshape(b.reduce_sum(x, {-1}, true), {1, 1, 1, x.shape()[-1]});
    return b.add(b.mul(x, x), sums);
}

/// Sums of what a softmax gives, on what it was made of.
Value softmax_backward(Builder& b, const Value& x, const Value& r) {
    const auto y = b.softmax(x, -1);
    const auto product = b.mul(y, b.add(x, r));
    return b.sub(product, b.mul(y, b.reduce_sum(product, {-1}, true)));
}

/// A step between that does not go by rows.
Value interrupted(Builder& b, const Value& x, const Value&) {
    const auto square = b.mul(x, x);
    const auto turned = b.transpose(b.mul(square, b.reduce_sum(square, {-1}, true)), {0, 1, 3, 2});
    return b.add(b.transpose(turned, {0, 1, 3, 2}), square);
}

void expect_equal(const Body& body, const Shape& shape, int threads) {
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, shape));
    const auto r = b.input("r", Type::tensor(DType::fp16, {1, 1, 1, shape[-1]}));
    b.output(b.rename(body(b, x, r), "y"));
    const mil::Package package{mil::make_program(b.take()), {}};
    ThreadPool pool(threads);
    const auto device = make_emulator("m4/e5rt", {}, pool);
    const auto executable = device->compile(package);
    Random random(5);
    std::list<Surface> surfaces;
    Bindings bindings;
    mil::Tensors inputs;
    for (const auto& input : executable->inputs()) {
        Surface& surface = surfaces.emplace_back(input.type);
        reference::Tensor tensor(input.type.shape);
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            fp16 value = to_fp16(random.normal() * 2.0, Rounding::nearest_even);
            if (random.below(400) == 0) {
                value.bits = random.below(2) == 0 ? 0xFC00 : 0x0001;
            }
            surface.halves()[i] = value;
            tensor.data[static_cast<std::size_t>(i)] = to_float(value);
        }
        bindings.inputs[input.name] = &surface;
        inputs.emplace(input.name, std::move(tensor));
    }
    for (const auto& output : executable->outputs()) {
        bindings.outputs[output.name] = &surfaces.emplace_back(output.type);
    }
    ChipModel model(package, package.program.functions.front(), find_profile("m4/e5rt"));
    const auto expected = model.run(inputs);
    for (int evaluation = 0; evaluation < 2; ++evaluation) {
        executable->evaluate(bindings);
        for (const auto& [name, surface] : bindings.outputs) {
            const auto& want = expected.at(name).data;
            for (std::int64_t i = 0; i < surface->elements(); ++i) {
                ASSERT_EQ(surface->halves()[i].bits,
                          to_fp16(want[static_cast<std::size_t>(i)], Rounding::nearest_even).bits)
                    << "element " << i << " of " << name << ", " << shape.text() << ", " << threads
                    << " threads";
            }
        }
    }
}

TEST(RowGroup, EqualsTheScalarModel) {
    const std::vector<std::pair<const char*, Body>> bodies = {
        {"layer norm", layer_norm},
        {"layer norm as an op", whole_layer_norm},
        {"RMSNorm", rms_norm},
        {"difference that is read twice", kept_difference},
        {"difference that is an output", shown_difference},
        {"product before the squares", early_product},
        {"squares summed twice", squares_twice},
        {"three norms", three_norms},
        {"rows and squares that are outputs", shown_source},
        {"subtrahend from elsewhere", foreign_subtrahend},
        {"not quite norms", not_quite_norms},
        {"masked softmax", masked_softmax},
        {"sums of products with a number",
         [](Builder& b, const Value& x, const Value& r) {
             const auto half = b.number(DType::fp16, 0.5), third = b.number(DType::fp16, 0.333);
             const auto small = b.mul(half, b.reduce_sum(x, {-1}, true));
             const auto y = b.add(b.mul(third, x), b.add(small, half));
             const auto z = b.add(r, b.scale(y, -1e-4));  // some vanish, some are subnormal
             const auto twice = b.scale(z, 2.0);
             return b.add(b.add(twice, twice), b.add(b.scale(x, 1e4), x));
         }},
        {"rows on columns", rows_on_columns},
        {"softmax backward", softmax_backward},
        {"interrupted", interrupted},
        {"two reductions",
         [](Builder& b, const Value& x, const Value&) {
             const auto sums = b.reduce_sum(x, {-1}, true);
             const auto squares = b.reduce_sum(b.mul(x, x), {-1}, true);
             return b.mul(b.sub(x, b.mul(sums, sums)), squares);
         }},
        {"mean of squares, chained",
         [](Builder& b, const Value& x, const Value& r) {
             const auto mean = b.call("reduce_mean", {{"x", b.unary("square", b.add(x, r))},
                                                      {"axes", b.integers({-1})},
                                                      {"keep_dims", b.boolean(true)}});
             return b.mul(x, mean);
         }},
        {"squares that are read twice",
         [](Builder& b, const Value& x, const Value&) {
             const auto squares = b.mul(x, x);
             return b.mul(squares, b.reduce_sum(squares, {-1}, true));
         }},
        {"rows alone", [](Builder& b, const Value& x, const Value&) {
             const auto sums = b.reduce_sum(b.unary("sigmoid", x), {-1}, true);
             return b.mul(sums, b.unary("tanh", sums));
         }}};
    for (const auto& [name, body] : bodies) {
        SCOPED_TRACE(name);
        // Whole and broken blocks, fewer rows than a group takes, as many rows as columns.
        for (const Shape& shape : {Shape{1, 2, 40, 96}, Shape{1, 3, 43, 33}, Shape{1, 2, 5, 70},
                                   Shape{1, 1, 96, 96}, Shape{1, 1, 70, 572}}) {
            if (std::string_view(name) == "rows on columns" && shape[2] * shape[1] != shape[3]) {
                continue;
            }
            expect_equal(body, shape, 1);
            expect_equal(body, shape, 2);
        }
    }
}

/// Rows whose sums have an order (more than 8192 elements), and rows of a few elements.
TEST(RowGroup, NormsOfLongAndShortRows) {
    for (const Body& body : {Body(layer_norm), Body(rms_norm)}) {
        for (const std::int64_t count : {2, 4, 30, 32, 8192, 8196}) {
            expect_equal(body, {1, 1, 66, count}, 2);
        }
    }
}

/// Over channels: a chain feeds the sums block by block, and where columns are few, every thread
/// sums rows of its own.
TEST(ChannelReduction, EqualsTheScalarModel) {
    const std::vector<std::pair<const char*, Body>> bodies = {
        {"RMSNorm",
         [](Builder& b, const Value& x, const Value&) {
             const auto squares = b.reduce_sum(b.mul(x, x), {1}, true);
             return b.mul(x, b.pow(b.add(squares, b.number(DType::fp16, 1e-3)), -0.5));
         }},
        {"sum",
         [](Builder& b, const Value& x, const Value&) { return b.reduce_sum(x, {1}, true); }},
        {"squares of a chain",
         [](Builder& b, const Value& x, const Value& r) {
             return b.reduce_sum(b.unary("square", b.add(x, r)), {1}, true);
         }},
        {"largest square",
         [](Builder& b, const Value& x, const Value&) {
             return b.call(
                 "reduce_max",
                 {{"x", b.mul(x, x)}, {"axes", b.integers({1})}, {"keep_dims", b.boolean(true)}});
         }},
        {"mean of a chain", [](Builder& b, const Value& x, const Value& r) {
             return b.call("reduce_mean", {{"x", b.mul(b.add(x, r), x)},
                                           {"axes", b.integers({1})},
                                           {"keep_dims", b.boolean(true)}});
         }}};
    for (const auto& [name, body] : bodies) {
        SCOPED_TRACE(name);
        // Whole and broken tiles and blocks, several outer indices, more columns than a range has.
        for (const Shape& shape :
             {Shape{1, 301, 1, 200}, Shape{2, 130, 2, 150}, Shape{1, 64, 1, 1300}}) {
            for (const int threads : {1, 2, 3}) {
                expect_equal(body, shape, threads);
            }
        }
    }
}

TEST(RowGroup, NeedsNoMemoryForWhatStaysInside) {
    if (!kernels::fast_paths()) {
        GTEST_SKIP() << "POME_FAST_PATHS=off: steps are not joined";
    }
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 8, 64, 512}));
    b.output(b.rename(layer_norm(b, x, x), "y"));
    const mil::Package package{mil::make_program(b.take()), {}};
    Tables tables;
    const Plan plan(package, package.program.functions.front(), find_profile("m4/e5rt"), tables);
    EXPECT_EQ(plan.arena_elements(), 0);
}

}  // namespace
}  // namespace pome::device::emulator
