#include <cmath>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

using Evaluate = std::vector<reference::Tensor> (*)(const Arguments&);

template <double (*f)(double)>
std::vector<reference::Tensor> plain(const Arguments& in) {
    return {reference::unary(in.tensor("x"), f)};
}

template <double (*f)(double, double)>
std::vector<reference::Tensor> with_epsilon(const Arguments& in) {
    const double epsilon = number_like_x(in, "epsilon");
    return {reference::unary(in.tensor("x"), [epsilon](double x) { return f(x, epsilon); })};
}

template <double (*f)(double, double)>
std::vector<reference::Tensor> with_alpha(const Arguments& in) {
    const double alpha = number_like_x(in, "alpha");
    return {reference::unary(in.tensor("x"), [alpha](double x) { return f(x, alpha); })};
}

template <double (*f)(double, double, double)>
std::vector<reference::Tensor> with_alpha_beta(const Arguments& in) {
    const double alpha = number_like_x(in, "alpha"), beta = number_like_x(in, "beta");
    return {reference::unary(in.tensor("x"), [=](double x) { return f(x, alpha, beta); })};
}

std::vector<Type> infer_gelu(const Arguments& in) {
    const std::string& mode = in.text("mode");
    if (mode != "EXACT" && mode != "TANH_APPROXIMATION" && mode != "SIGMOID_APPROXIMATION") {
        in.fail("mode '{}' is not EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION", mode);
    }
    return {in.type("x")};
}

std::vector<reference::Tensor> evaluate_gelu(const Arguments& in) {
    const std::string& mode = in.text("mode");
    return {reference::unary(in.tensor("x"), mode == "EXACT" ? reference::gelu
                                             : mode == "TANH_APPROXIMATION"
                                                 ? reference::gelu_tanh
                                                 : reference::gelu_sigmoid)};
}

std::vector<Type> infer_prelu(const Arguments& in) {
    const Shape& x = in.type("x").shape;
    if (x.rank() < 3) {
        in.fail("x {} must have rank 3 or more", x.text());
    }
    expect_shape(in, "alpha", {x[1]});
    return {in.type("x")};
}

std::vector<Type> infer_softplus_parametric(const Arguments& in) {
    expect_shape(in, "beta", in.type("alpha").shape);
    return infer_prelu(in);
}

std::vector<Type> infer_cast(const Arguments& in) {
    const auto dtype = dtype_from_name(in.text("dtype"));
    if (!dtype || *dtype == DType::string) {
        in.fail("dtype '{}' is not one to cast to", in.text("dtype"));
    }
    return {Type::tensor(*dtype, in.type("x").shape)};
}

std::vector<reference::Tensor> evaluate_cast(const Arguments& in) {
    const auto dtype = infer_cast(in).front().dtype;
    if (is_floating(dtype)) {
        return {in.tensor("x")};
    }
    if (dtype == DType::boolean) {
        return {reference::unary(in.tensor("x"), [](double x) { return x != 0.0 ? 1.0 : 0.0; })};
    }
    return {reference::unary(in.tensor("x"), [](double x) { return std::trunc(x); })};
}

Schema one(std::string_view name, std::string_view meaning, Evaluate evaluate) {
    return {name, meaning, {tensor("x", numbers)}, same_as_x, evaluate};
}

Schema parametric(std::string_view name, std::string_view meaning, std::vector<Parameter> more,
                  Evaluate evaluate) {
    more.insert(more.begin(), tensor("x", floats));
    return {name, meaning, std::move(more), same_as_x, evaluate};
}

Parameter fp32(std::string_view name, double value) {
    return constant(name, Literal::number(DType::fp32, value));
}

std::vector<Schema> functions_of_x() {
    return {
        one("sigmoid", "1 / (1 + exp(-x))", plain<reference::sigmoid>),
        one("tanh", "tanh(x)", plain<reference::tanh>),
        one("silu", "x * sigmoid(x)", plain<reference::silu>),
        one("relu", "max(x, 0)", plain<reference::relu>),
        one("relu6", "min(max(x, 0), 6)", plain<reference::relu6>),
        one("softplus", "log(1 + exp(x))", plain<reference::softplus>),
        one("softsign", "x / (1 + |x|)", plain<reference::softsign>),
        one("exp", "e^x", plain<reference::exp>),
        one("exp2", "2^x", plain<reference::exp2>),
        one("erf", "erf(x)", plain<reference::erf>),
        one("sqrt", "square root of x", plain<reference::sqrt>),
        one("square", "x * x", plain<reference::square>),
        one("abs", "|x|", plain<reference::abs>),
        one("sign", "-1, 0 or 1", plain<reference::sign>),
        one("floor", "largest integer not above x", plain<reference::floor>),
        one("ceil", "smallest integer not below x", plain<reference::ceil>),
        one("round", "nearest integer, half away from zero", plain<reference::round>),
        one("sin", "sin(x)", plain<reference::sin>),
        one("cos", "cos(x)", plain<reference::cos>),
        one("tan", "tan(x)", plain<reference::tan>),
        one("asin", "arc sine of x", plain<reference::asin>),
        one("acos", "arc cosine of x", plain<reference::acos>),
        one("atan", "arc tangent of x", plain<reference::atan>),
        one("sinh", "sinh(x)", plain<reference::sinh>),
        one("cosh", "cosh(x)", plain<reference::cosh>),
        one("atanh", "inverse of tanh", plain<reference::atanh>),
        {"logical_not",
         "not x",
         {tensor("x", {DType::boolean})},
         same_as_x,
         plain<reference::logical_not>},
        {"cast",
         "x in another dtype; to integers truncates",
         {tensor("x"), constant("dtype")},
         infer_cast,
         evaluate_cast},
    };
}

}  // namespace

std::vector<Schema> elementwise_unary() {
    auto schemas = functions_of_x();
    const std::vector<Schema> more{
        parametric("log", "log(x + epsilon)", {fp32("epsilon", 1e-45)},
                   with_epsilon<reference::log>),
        parametric("rsqrt", "1 / sqrt(x + epsilon)", {fp32("epsilon", 1e-12)},
                   with_epsilon<reference::rsqrt>),
        parametric("inverse", "1 / (x + epsilon)", {fp32("epsilon", 1e-4)},
                   with_epsilon<reference::inverse>),
        parametric("leaky_relu", "x, alpha * x below 0", {fp32("alpha", 0.01)},
                   with_alpha<reference::leaky_relu>),
        parametric("elu", "x, alpha * (exp(x) - 1) below 0", {fp32("alpha", 1.0)},
                   with_alpha<reference::elu>),
        parametric("thresholded_relu", "x, 0 below alpha", {fp32("alpha", 1.0)},
                   with_alpha<reference::thresholded_relu>),
        parametric("threshold", "max(x, alpha)", {constant("alpha")},
                   with_alpha<reference::maximum>),
        parametric("clip", "min(max(x, alpha), beta)", {constant("alpha"), constant("beta")},
                   with_alpha_beta<reference::clip>),
        parametric("clamped_relu", "min(x, beta), alpha * x below 0",
                   {constant("alpha"), constant("beta")}, with_alpha_beta<reference::clamped_relu>),
        parametric("linear_activation", "alpha * x + beta", {constant("alpha"), fp32("beta", 0.0)},
                   with_alpha_beta<reference::linear_activation>),
        parametric("scaled_tanh", "alpha * tanh(beta * x)", {fp32("alpha", 1.0), fp32("beta", 1.0)},
                   with_alpha_beta<reference::scaled_tanh>),
        parametric("sigmoid_hard", "min(max(alpha * x + beta, 0), 1)",
                   {fp32("alpha", 0.2), fp32("beta", 0.5)},
                   with_alpha_beta<reference::sigmoid_hard>),
        {"prelu",
         "x, alpha[c] * x below 0, c the index along axis 1",
         {tensor("x", floats), tensor("alpha", floats)},
         infer_prelu,
         [](const Arguments& in) {
             return std::vector{reference::prelu(in.tensor("x"), in.tensor("alpha"))};
         }},
        {"softplus_parametric",
         "alpha[c] * log(1 + exp(beta[c] * x)), c the index along axis 1",
         {tensor("x", floats), tensor("alpha", floats), tensor("beta", floats)},
         infer_softplus_parametric,
         [](const Arguments& in) {
             return std::vector{reference::softplus_parametric(in.tensor("x"), in.tensor("alpha"),
                                                               in.tensor("beta"))};
         }},
        {"gelu",
         "x * Phi(x), exact or approximated",
         {tensor("x", floats), constant("mode", Literal::text("EXACT"))},
         infer_gelu,
         evaluate_gelu},
    };
    schemas.insert(schemas.end(), more.begin(), more.end());
    return schemas;
}

}  // namespace pome::mil::ops
