// Gradients of single ops against central differences of their meaning in double precision.
#include <gtest/gtest.h>

#include "mil/autodiff/gradient_check.h"
#include "mil/schema.h"

namespace pome::mil::autodiff {
namespace {

Builder::CallArgument given(std::string name, Value value) {
    return {std::move(name), {std::move(value)}, false};
}

/// The op on the parameters named, with more constants.
Build op(std::string_view name, std::vector<std::string> parameters,
         std::function<std::vector<Builder::CallArgument>(Builder&)> constants = {}) {
    return [=](Builder& b, const std::vector<Value>& in) {
        std::vector<Builder::CallArgument> arguments;
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            arguments.push_back(given(parameters[i], in[i]));
        }
        if (constants) {
            for (auto& argument : constants(b)) {
                arguments.push_back(std::move(argument));
            }
        }
        b.output(b.call_many(name, arguments).front());
    };
}

Value number(Builder& b, double value) {
    return b.number(DType::fp32, value);
}

TEST(Gradients, OfActivationsWithParameters) {
    const auto with = [](double alpha, double beta) {
        return [=](Builder& b) {
            return std::vector{given("alpha", number(b, alpha)), given("beta", number(b, beta))};
        };
    };
    const auto with_alpha = [](double alpha) {
        return [=](Builder& b) { return std::vector{given("alpha", number(b, alpha))}; };
    };
    for (const char* name : {"relu6", "softsign", "atan", "softplus"}) {
        SCOPED_TRACE(name);
        check({{2, 3, 5}}, op(name, {"x"}), -8.0, 8.0);
    }
    for (const char* name : {"leaky_relu", "elu", "thresholded_relu", "threshold"}) {
        SCOPED_TRACE(name);
        check({{2, 3, 5}}, op(name, {"x"}, with_alpha(0.375)), -2.0, 2.0);
        check({{2, 3, 5}}, op(name, {"x"}, with_alpha(1.25)), -2.0, 2.0);
    }
    for (const char* name :
         {"clip", "clamped_relu", "linear_activation", "sigmoid_hard", "scaled_tanh"}) {
        SCOPED_TRACE(name);
        check({{2, 3, 5}}, op(name, {"x"}, with(0.25, 0.75)), -2.0, 2.0);
    }
    for (const char* mode : {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}) {
        SCOPED_TRACE(mode);
        check({{2, 3, 5}},
              op("gelu", {"x"},
                 [mode](Builder& b) { return std::vector{given("mode", b.text(mode))}; }),
              -3.0, 3.0);
    }
    check({{2, 3, 5}, {3}}, op("prelu", {"x", "alpha"}), -2.0, 2.0);
    check({{2, 3, 5}, {3}, {3}}, op("softplus_parametric", {"x", "alpha", "beta"}), -2.0, 2.0);
}

TEST(Gradients, OfSelect) {
    check({{2, 3, 5}, {3, 1}}, [](Builder& b, const auto& in) {
        const Value cond = b.call("greater", {{"x", in[0]}, {"y", number(b, 0.1)}});
        b.output(b.call("select", {{"a", b.mul(in[0], in[0])}, {"b", in[1]}, {"cond", cond}}));
    });
}

TEST(Gradients, OfReductions) {
    for (const char* name : {"reduce_max", "reduce_min", "reduce_l1_norm", "reduce_l2_norm",
                             "reduce_sum_square", "reduce_log_sum_exp", "reduce_log_sum"}) {
        for (const bool keep : {false, true}) {
            SCOPED_TRACE(name);
            check({{2, 3, 4}},
                  op(name, {"x"},
                     [keep](Builder& b) {
                         return std::vector{given("axes", b.integers({0, -1})),
                                            given("keep_dims", b.boolean(keep))};
                     }),
                  0.25, 2.0);
        }
        check({{2, 3}}, op(name, {"x"}), 0.25, 2.0);
    }
}

TEST(Gradients, OfNorms) {
    const auto epsilon = [](Builder& b) { return std::vector{given("epsilon", number(b, 0.01))}; };
    const auto along = [](std::vector<std::int64_t> axes) {
        return [axes](Builder& b) {
            return std::vector{given("axes", b.integers(axes)), given("epsilon", number(b, 0.01))};
        };
    };
    check({{2, 3, 8}, {8}, {8}}, op("layer_norm", {"x", "gamma", "beta"}, along({-1})));
    check({{2, 3, 4}, {3, 4}}, op("layer_norm", {"x", "gamma"}, along({1, 2})));
    check({{2, 5, 1, 4}, {5}}, op("layer_norm", {"x", "beta"}, along({1})));
    check({{2, 3, 2, 4}, {3}, {3}}, op("instance_norm", {"x", "gamma", "beta"}, epsilon));
    check({{2, 3, 2, 4}}, op("l2_norm", {"x"}, epsilon));
    check({{2, 3, 2, 4}, {3}, {3}, {3}, {3}},
          op("batch_norm", {"x", "mean", "variance", "gamma", "beta"}, epsilon), 0.5, 1.5);
    check({{2, 2, 3}}, [](Builder& b, const auto& in) {
        const auto constant = [&](std::vector<double> values) {
            return b.constant(Literal::tensor(DType::fp32, {2}, values), "c");
        };
        b.output(b.call("batch_norm", {{"epsilon", number(b, 0.01)},
                                       {"mean", constant({0.5, -0.25})},
                                       {"variance", constant({1.5, 0.75})},
                                       {"x", in[0]}}));
    });
}

TEST(Gradients, OfProducts) {
    check({{2, 3, 4}, {5, 4}, {5}}, op("linear", {"x", "weight", "bias"}));
    check({{3, 4}, {2, 4}}, op("linear", {"x", "weight"}));
    for (const char* equation : {"nchw,nwhu->nchu", "bhqd,bhkd->bhqk"}) {
        SCOPED_TRACE(equation);
        const bool first = equation[0] == 'n';
        check({{2, 3, 4, 5}, first ? Shape{2, 5, 4, 3} : Shape{2, 3, 2, 5}},
              [equation](Builder& b, const auto& in) {
                  b.output(b.call_many("einsum", {{"values", {in[0], in[1]}, true},
                                                  given("equation", b.text(equation))})
                               .front());
              });
    }
    check({{1, 2, 3, 4}, {1, 2, 5, 4}, {1, 2, 5, 3}, {3, 5}},
          op("scaled_dot_product_attention", {"query", "key", "value", "attn_mask"}));
}

struct WindowCase {
    std::string pad_type;
    std::vector<std::int64_t> pad, strides, dilations;
    std::int64_t groups;
};

std::vector<Builder::CallArgument> window(Builder& b, const WindowCase& one) {
    std::vector<Builder::CallArgument> arguments{given("pad_type", b.text(one.pad_type)),
                                                 given("strides", b.integers(one.strides))};
    if (!one.pad.empty()) {
        arguments.push_back(given("pad", b.integers(one.pad)));
    }
    return arguments;
}

TEST(Gradients, OfConvolutions) {
    const std::vector<WindowCase> cases{{"valid", {}, {1, 1}, {1, 1}, 1},
                                        {"valid", {}, {2, 3}, {1, 1}, 1},
                                        {"same", {}, {1, 1}, {1, 1}, 2},
                                        {"same_lower", {}, {2, 2}, {1, 2}, 1},
                                        {"custom", {1, 0, 2, 1}, {2, 1}, {2, 1}, 2},
                                        {"custom", {1, 1, 1, 1}, {3, 2}, {1, 1}, 4}};
    for (const WindowCase& one : cases) {
        SCOPED_TRACE(one.pad_type + " " + Shape(one.strides).text());
        const auto constants = [&](Builder& b) {
            auto arguments = window(b, one);
            arguments.push_back(given("dilations", b.integers(one.dilations)));
            arguments.push_back(given("groups", b.integer(static_cast<std::int32_t>(one.groups))));
            return arguments;
        };
        check({{2, 4, 6, 7}, {4, 4 / one.groups, 3, 2}, {4}},
              op("conv", {"x", "weight", "bias"}, constants));
        check({{2, 4, 3, 4}, {4, 2, 3, 2}, {2 * one.groups}},
              op("conv_transpose", {"x", "weight", "bias"}, constants));
    }
}

TEST(Gradients, OfPooling) {
    const std::vector<WindowCase> cases{{"valid", {}, {1, 1}, {}, 1},
                                        {"valid", {}, {2, 3}, {}, 1},
                                        {"same", {}, {2, 2}, {}, 1},
                                        {"same_lower", {}, {1, 2}, {}, 1},
                                        {"custom", {1, 0, 1, 1}, {2, 2}, {}, 1}};
    for (const WindowCase& one : cases) {
        for (const bool flag : {false, true}) {
            SCOPED_TRACE(one.pad_type + " " + Shape(one.strides).text());
            const auto constants = [&](Builder& b) {
                auto arguments = window(b, one);
                arguments.push_back(given("kernel_sizes", b.integers({3, 2})));
                arguments.push_back(given("ceil_mode", b.boolean(flag)));
                return arguments;
            };
            check({{2, 3, 6, 7}}, op("max_pool", {"x"}, constants));
            check({{2, 3, 6, 7}}, op("avg_pool", {"x"}, [&](Builder& b) {
                      auto arguments = constants(b);
                      arguments.push_back(given("exclude_padding_from_average", b.boolean(!flag)));
                      return arguments;
                  }));
        }
    }
}

TEST(Gradients, OfRearrangements) {
    const auto by = [](const char* factor) {
        return [factor](Builder& b) { return std::vector{given(factor, b.integer(2))}; };
    };
    check({{1, 8, 2, 3}}, op("depth_to_space", {"x"}, by("block_size")));
    check({{1, 2, 4, 6}}, op("space_to_depth", {"x"}, by("block_size")));
    check({{1, 8, 2, 3}}, op("pixel_shuffle", {"x"}, by("upscale_factor")));
    check({{1, 2, 4, 6}}, op("pixel_unshuffle", {"x"}, by("downscale_factor")));
    check({{2, 3, 4}}, op("reverse", {"x"}, [](Builder& b) {
              return std::vector{given("axes", b.integers({0, 2}))};
          }));
    check({{2, 3, 4}}, op("tile", {"x"}, [](Builder& b) {
              return std::vector{given("reps", b.integers({2, 1, 3}))};
          }));
    check({{2, 3, 4}}, op("pad", {"x"}, [](Builder& b) {
              return std::vector{given("pad", b.integers({1, 0, 2, 1})),
                                 given("mode", b.text("constant")),
                                 given("constant_val", number(b, 0.5))};
          }));
    check({{2, 3, 4}}, op("flatten2d", {"x"}));
    check({{2, 3}, {2, 3}}, [](Builder& b, const auto& in) {
        b.output(b.call_many("stack",
                             {{"values", {in[0], in[1], in[0]}, true}, given("axis", b.integer(1))})
                     .front());
    });
}

TEST(Gradients, ArePromisedWhereTheyAre) {
    for (const char* op : {"floor", "floor_div", "topk", "argsort", "no_such_op"}) {
        EXPECT_FALSE(has_gradient(op)) << op;
    }
    for (const char* op : {"layer_norm", "conv_transpose", "max_pool", "linear", "einsum"}) {
        EXPECT_TRUE(has_gradient(op)) << op;
    }
}

}  // namespace
}  // namespace pome::mil::autodiff
