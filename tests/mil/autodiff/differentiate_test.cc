#include <gtest/gtest.h>

#include "mil/autodiff/gradient_check.h"
#include "support/test_data.h"

namespace pome::mil::autodiff {
namespace {

TEST(Autodiff, BinaryOpsOverBroadcasts) {
    const std::vector<std::pair<Shape, Shape>> shapes{{{1, 4, 1, 6}, {1, 4, 1, 6}},
                                                      {{1, 4, 1, 6}, {1, 4, 1, 1}},
                                                      {{1, 1, 1, 6}, {1, 4, 1, 6}},
                                                      {{2, 3, 4, 5}, {4, 5}},
                                                      {{1, 3, 1, 1}, {}}};
    for (const auto& [x, y] : shapes) {
        for (const char* op : {"add", "sub", "mul", "real_div", "maximum", "minimum"}) {
            SCOPED_TRACE(op);
            check(
                {x, y},
                [op](Builder& b, const auto& in) {
                    b.output(b.call(op, {{"x", in[0]}, {"y", in[1]}}));
                },
                0.5, 2.0);
        }
    }
}

TEST(Autodiff, UnaryOps) {
    for (const char* op : {"sigmoid", "tanh", "silu", "relu", "exp", "exp2", "square", "abs", "erf",
                           "gelu", "softplus", "sin", "cos"}) {
        SCOPED_TRACE(op);
        check(
            {{2, 3, 5}}, [op](Builder& b, const auto& in) { b.output(b.unary(op, in[0])); }, -2.0,
            2.0);
    }
    for (const char* op : {"log", "sqrt", "rsqrt", "inverse"}) {
        SCOPED_TRACE(op);
        check(
            {{2, 3, 5}}, [op](Builder& b, const auto& in) { b.output(b.unary(op, in[0])); }, 0.5,
            2.0);
    }
    for (const double power : {-0.5, 0.5, 2.0, 3.0}) {
        check(
            {{2, 7}}, [power](Builder& b, const auto& in) { b.output(b.pow(in[0], power)); }, 0.5,
            2.0);
    }
}

TEST(Autodiff, MatmulInEveryForm) {
    for (const bool tx : {false, true}) {
        for (const bool ty : {false, true}) {
            const Shape x = tx ? Shape{2, 3, 5, 4} : Shape{2, 3, 4, 5},
                        y = ty ? Shape{2, 3, 6, 5} : Shape{2, 3, 5, 6};
            check({x, y},
                  [=](Builder& b, const auto& in) { b.output(b.matmul(in[0], in[1], tx, ty)); });
            const Shape one = ty ? Shape{1, 1, 6, 5} : Shape{1, 1, 5, 6};
            check({x, one},
                  [=](Builder& b, const auto& in) { b.output(b.matmul(in[0], in[1], tx, ty)); });
        }
    }
}

TEST(Autodiff, ConvolutionsOfStrideOne) {
    check({{1, 3, 1, 8}, {4, 3, 1, 1}},
          [](Builder& b, const auto& in) { b.output(b.conv(in[0], in[1], {})); });
    Builder::Conv padded;
    padded.pad = {1, 1, 1, 1};
    check({{2, 3, 5, 6}, {4, 3, 3, 3}},
          [=](Builder& b, const auto& in) { b.output(b.conv(in[0], in[1], padded)); });
    Builder::Conv dilated;
    dilated.dilations = {2, 1};
    check({{1, 2, 7, 6}, {3, 2, 2, 3}},
          [=](Builder& b, const auto& in) { b.output(b.conv(in[0], in[1], dilated)); });
}

TEST(Autodiff, ReductionsSoftmaxAndLayout) {
    check({{2, 3, 4}},
          [](Builder& b, const auto& in) { b.output(b.reduce_sum(in[0], {1}, true)); });
    check({{2, 3, 4}}, [](Builder& b, const auto& in) {
        b.output(b.reduce_sum(in[0], {0, 2}, false));
    });
    check({{2, 3, 4}}, [](Builder& b, const auto& in) {
        b.output(b.call("reduce_mean", {{"axes", b.integers({-1})}, {"x", in[0]}}));
    });
    for (const int axis : {0, 1, -1}) {
        check({{2, 3, 4}},
              [axis](Builder& b, const auto& in) { b.output(b.softmax(in[0], axis)); });
    }
    check({{2, 3, 4}}, [](Builder& b, const auto& in) { b.output(b.transpose(in[0], {2, 0, 1})); });
    check({{2, 6}}, [](Builder& b, const auto& in) {
        b.output(b.mul(b.reshape(in[0], {3, 4}), b.reshape(in[0], {3, 4})));
    });
    check({{2, 5, 4}}, [](Builder& b, const auto& in) {
        b.output(b.slice(in[0], {0, 1, 2}, {2, 3, 1}));
    });
    check({{2, 2}, {2, 3}}, [](Builder& b, const auto& in) {
        b.output(b.concat({in[0], in[1], in[0]}, 1));
    });
    check({{2, 6}}, [](Builder& b, const auto& in) {
        const auto parts = b.call_many(
            "split", {{"axis", {b.integer(1)}}, {"num_splits", {b.integer(3)}}, {"x", {in[0]}}});
        b.output(b.mul(parts[0], parts[2]));
    });
    check({{2, 3}},
          [](Builder& b, const auto& in) { b.output(b.cast(b.unary("exp", in[0]), DType::fp16)); });
}

TEST(Autodiff, RmsNorm) {
    check({{1, 6, 1, 4}, {1, 6, 1, 1}}, [](Builder& b, const auto& in) {
        const Value mean = b.scale(b.reduce_sum(b.mul(in[0], in[0]), {1}, true), 1.0 / 6.0);
        const Value root = b.pow(b.add(mean, b.number(DType::fp32, 1e-5)), -0.5);
        b.output(b.mul(b.mul(in[0], root), in[1]));
    });
}

/// The backward function alone, from parameters; and no gradient through a value that is held.
TEST(Autodiff, NothingSavedAndConstantsByOrder) {
    Builder b;
    const Value x = b.input("x", Type::tensor(DType::fp32, {1, 4, 1, 3}));
    const Value top = b.rename(b.call("reduce_max", {{"axes", b.integers({1})},
                                                     {"keep_dims", b.boolean(true)},
                                                     {"x", b.unary("abs", x)}}),
                               "top");
    const Value scaled = b.real_div(x, top);
    const Value sum = b.reduce_sum(b.mul(scaled, scaled), {1}, true);
    b.output(b.rename(b.mul(scaled, b.pow(sum, -0.5)), "y"));
    const Function function = b.take();
    Options options;
    options.with_respect_to = {"x"};
    options.stop_gradients = {"top"};
    EXPECT_FALSE(differentiate(function, options).saved.empty());
    options.recompute = mil::autodiff::Recompute::everything;
    const Differentiated parts = differentiate(function, options);
    EXPECT_TRUE(parts.saved.empty());
    ASSERT_NO_THROW(verify(make_program(parts.backward)));
    Random random(7);
    Tensors in{{"x", random_tensor({1, 4, 1, 3}, random, -2.0, 2.0)},
               {"d_y", random_tensor({1, 4, 1, 3}, random, -1.0, 1.0)}};
    const auto gradient = interpret({make_program(parts.backward), {}}, in).at("d_x");
    const Interpreter run({make_program(function), {}});
    for (std::size_t i = 0; i < in["x"].data.size(); ++i) {
        const auto at = [&](double step) {
            Tensors moved = in;
            moved["x"].data[i] += step;
            const auto y = run.run(moved).at("y");
            double total = 0.0;
            for (std::size_t j = 0; j < y.data.size(); ++j) {
                total += y.data[j] * in["d_y"].data[j];
            }
            return total;
        };
        EXPECT_NEAR(gradient.data[i], (at(1e-5) - at(-1e-5)) / 2e-5, 1e-6);
    }
    options.stop_gradients = {"bottom"};
    EXPECT_EQ(error_text([&] { differentiate(function, options); }),
              "[mil.autodiff] 'bottom' is no value of 'main'");
}

TEST(Autodiff, WeightGradientsLeftToTheHost) {
    const auto layer = [](Builder& b, const auto& in) {
        const Value h = b.matmul(b.reshape(in[1], {1, 1, 5, 4}), b.reshape(in[0], {1, 1, 4, 7}));
        b.output(
            b.reshape(b.matmul(in[2], b.unary("tanh", h), /*transpose_x=*/true), {1, 3, 1, 7}));
    };
    check({{1, 4, 1, 7}, {1, 5, 1, 4}, {1, 1, 5, 3}}, layer);
    check({{1, 4, 1, 7}, {1, 5, 1, 4}, {1, 1, 5, 3}}, layer, -1.0, 1.0, {"p1", "p2"});
}

TEST(Autodiff, RefusesWhatItCannotDo) {
    const auto gradient_of = [](const Build& build, std::set<std::string, std::less<>> host) {
        Builder b;
        const Value x = b.input("x", Type::tensor(DType::fp16, {1, 4, 1, 8}));
        build(b, {x});
        const Function function = b.take();
        return error_text([&] { differentiate(function, {{"x"}, std::move(host)}); });
    };
    EXPECT_EQ(
        gradient_of([](Builder& b, const auto& in) { b.output(b.unary("floor", in[0])); }, {}),
        "[mil.autodiff] op 'floor' has no gradient rule; write it with ops that have one (%floor)");
    EXPECT_EQ(
        gradient_of([](Builder& b, const auto& in) { b.output(b.unary("relu", in[0])); }, {"x"}),
        "[mil.autodiff] 'x' is not only an operand of matmul: the host cannot compute its gradient "
        "(%relu)");
}

}  // namespace
}  // namespace pome::mil::autodiff
