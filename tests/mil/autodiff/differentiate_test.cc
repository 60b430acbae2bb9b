#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/random.h"
#include "mil/autodiff/autodiff.h"
#include "mil/interpreter.h"
#include "mil/verifier.h"
#include "support/test_data.h"

namespace pome::mil::autodiff {
namespace {

using Build = std::function<void(Builder&, const std::vector<Value>&)>;

reference::Tensor random_tensor(const Shape& shape, Random& random, double low, double high) {
    reference::Tensor tensor(shape);
    for (double& value : tensor.data) {
        value = random.uniform(low, high);
    }
    return tensor;
}

/// Gradients of sum(weights * y) by the backward function against central differences of the double
/// interpreter.
void check(const std::vector<Shape>& shapes, const Build& build, double low = -1.0,
           double high = 1.0, const std::set<std::string, std::less<>>& host = {}) {
    static std::uint64_t seed = 100;
    Random random(++seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    Builder b;
    std::vector<Value> inputs;
    Tensors values;
    Options options;
    options.host_gradients = host;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        const std::string name = "p" + std::to_string(i);
        inputs.push_back(b.input(name, Type::tensor(DType::fp32, shapes[i])));
        values[name] = random_tensor(shapes[i], random, low, high);
        options.with_respect_to.push_back(name);
    }
    build(b, inputs);
    const Function function = b.take();
    const Differentiated parts = differentiate(function, options);
    const Package original{make_program(function), {}}, forward{make_program(parts.forward), {}},
        backward{make_program(parts.backward), {}};
    ASSERT_NO_THROW(verify(forward.program));
    ASSERT_NO_THROW(verify(backward.program));

    const Tensors forward_values = interpret(forward, values);
    Tensors available = forward_values, seeds;
    available.insert(values.begin(), values.end());
    for (const auto& output : function.outputs) {
        seeds[output] = random_tensor(forward_values.at(output).shape, random, -1.0, 1.0);
        available["d_" + output] = seeds[output];
    }
    Tensors backward_inputs;
    for (const auto& parameter : parts.backward.parameters) {
        backward_inputs[parameter.name] = available.at(parameter.name);
    }
    const Tensors results = interpret(backward, backward_inputs);
    Tensors gradients;
    for (const auto& [name, tensor] : results) {
        if (name.starts_with("d_p")) {
            gradients[name.substr(2)] = tensor;
        }
    }
    for (const auto& product : parts.host_gradients) {  // left right^T, as the host would
        const auto find = [&](const std::string& name) -> const reference::Tensor& {
            return results.contains(name) ? results.at(name) : available.at(name);
        };
        const auto& left = find(product.left);
        const auto& right = find(product.right);
        const std::int64_t s = right.shape[-1], m = left.size() / s, n = right.size() / s;
        reference::Tensor sum(values.at(product.parameter).shape);
        for (std::int64_t i = 0; i < m; ++i) {
            for (std::int64_t j = 0; j < n; ++j) {
                double total = 0.0;
                for (std::int64_t k = 0; k < s; ++k) {
                    total += left.data[static_cast<std::size_t>(i * s + k)] *
                             right.data[static_cast<std::size_t>(j * s + k)];
                }
                sum.data[static_cast<std::size_t>(product.transposed ? j * m + i : i * n + j)] =
                    total;
            }
        }
        gradients[product.parameter] = sum;
    }

    const Interpreter run(original);
    const auto objective = [&](const Tensors& at) {
        double sum = 0.0;
        for (const auto& [name, y] : run.run(at)) {
            for (std::size_t i = 0; i < y.data.size(); ++i) {
                sum += y.data[i] * seeds.at(name).data[i];
            }
        }
        return sum;
    };
    for (const auto& [name, tensor] : values) {
        ASSERT_TRUE(gradients.contains(name)) << name;
        double difference = 0.0, size = 0.0;
        const std::size_t stride = std::max<std::size_t>(1, tensor.data.size() / 60);
        for (std::size_t i = 0; i < tensor.data.size(); i += stride) {
            constexpr double step = 1e-5;
            Tensors moved = values;
            moved[name].data[i] += step;
            const double up = objective(moved);
            moved[name].data[i] -= 2 * step;
            const double numeric = (up - objective(moved)) / (2 * step);
            difference += std::pow(gradients.at(name).data[i] - numeric, 2);
            size += numeric * numeric;
        }
        EXPECT_LT(std::sqrt(difference), 1e-6 * std::sqrt(size) + 1e-9) << name;
    }
}

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
        return error_text([&] { differentiate(function, {{"x"}, std::move(host), true}); });
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
