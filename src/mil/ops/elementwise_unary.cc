#include <algorithm>
#include <cmath>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

std::vector<Type> same_as_x(const Arguments& in) {
    return {in.type("x")};
}

template <double (*f)(double)>
std::vector<reference::Tensor> evaluate_unary(const Arguments& in) {
    return {reference::unary(in.tensor("x"), f)};
}

double relu(double x) {
    return std::max(x, 0.0);
}
double relu6(double x) {
    return std::clamp(x, 0.0, 6.0);
}
double silu(double x) {
    return x * reference::sigmoid(x);
}
double softsign(double x) {
    return x / (1.0 + std::fabs(x));
}
double square(double x) {
    return x * x;
}
double sign(double x) {
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0;
}
double logical_not(double x) {
    return x == 0.0 ? 1.0 : 0.0;
}
double absolute(double x) {
    return std::fabs(x);
}
double exponential(double x) {
    return std::exp(x);
}
double exponential2(double x) {
    return std::exp2(x);
}
double root(double x) {
    return std::sqrt(x);
}
double tangent(double x) {
    return std::tanh(x);
}
double error_function(double x) {
    return std::erf(x);
}
double sine(double x) {
    return std::sin(x);
}
double cosine(double x) {
    return std::cos(x);
}
double arctangent(double x) {
    return std::atan(x);
}
double down(double x) {
    return std::floor(x);
}
double up(double x) {
    return std::ceil(x);
}

/// f(x, constant `name`).
template <double (*f)(double, double), const char* const& name>
std::vector<reference::Tensor> evaluate_with(const Arguments& in) {
    const double value = in.number(name);
    return {reference::unary(in.tensor("x"), [value](double x) { return f(x, value); })};
}

constexpr const char* epsilon_name = "epsilon";
constexpr const char* alpha_name = "alpha";
double log_of(double x, double epsilon) {
    return std::log(x + epsilon);
}
double rsqrt_of(double x, double epsilon) {
    return 1.0 / std::sqrt(x + epsilon);
}
double inverse_of(double x, double epsilon) {
    return 1.0 / (x + epsilon);
}
double leaky_relu_of(double x, double alpha) {
    return x < 0.0 ? alpha * x : x;
}
double elu_of(double x, double alpha) {
    return x < 0.0 ? alpha * std::expm1(x) : x;
}

std::vector<reference::Tensor> evaluate_clip(const Arguments& in) {
    const double low = in.number("alpha"), high = in.number("beta");
    return {reference::unary(in.tensor("x"),
                             [=](double x) { return std::min(std::max(x, low), high); })};
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
    if (mode == "EXACT") {
        return {reference::unary(in.tensor("x"), reference::gelu)};
    }
    if (mode == "TANH_APPROXIMATION") {
        return {reference::unary(in.tensor("x"), reference::gelu_tanh)};
    }
    return {reference::unary(in.tensor("x"),
                             [](double x) { return x * reference::sigmoid(1.702 * x); })};
}

}  // namespace

std::vector<Schema> elementwise_unary() {
    const auto plain = [](std::string_view name, std::string_view meaning, auto evaluate) {
        return Schema{name, meaning, {tensor("x", numbers)}, same_as_x, evaluate};
    };
    const auto with = [](std::string_view name, std::string_view meaning,
                         std::string_view parameter, double value, auto evaluate) {
        return Schema{
            name,
            meaning,
            {tensor("x", floats), constant(parameter, Literal::number(DType::fp32, value))},
            same_as_x,
            evaluate};
    };
    return {
        plain("sigmoid", "1 / (1 + exp(-x))", evaluate_unary<reference::sigmoid>),
        plain("tanh", "tanh(x)", evaluate_unary<tangent>),
        plain("silu", "x * sigmoid(x)", evaluate_unary<silu>),
        plain("relu", "max(x, 0)", evaluate_unary<relu>),
        plain("relu6", "min(max(x, 0), 6)", evaluate_unary<relu6>),
        plain("softplus", "log(1 + exp(x))", evaluate_unary<reference::softplus>),
        plain("softsign", "x / (1 + |x|)", evaluate_unary<softsign>),
        plain("exp", "e^x", evaluate_unary<exponential>),
        plain("exp2", "2^x", evaluate_unary<exponential2>),
        plain("erf", "erf(x)", evaluate_unary<error_function>),
        plain("sqrt", "square root of x", evaluate_unary<root>),
        plain("square", "x * x", evaluate_unary<square>),
        plain("abs", "|x|", evaluate_unary<absolute>),
        plain("sign", "-1, 0 or 1", evaluate_unary<sign>),
        plain("floor", "largest integer not above x", evaluate_unary<down>),
        plain("ceil", "smallest integer not below x", evaluate_unary<up>),
        plain("round", "nearest integer, half away from zero",
              evaluate_unary<reference::round_half_away>),
        plain("sin", "sin(x)", evaluate_unary<sine>),
        plain("cos", "cos(x)", evaluate_unary<cosine>),
        plain("atan", "atan(x)", evaluate_unary<arctangent>),
        Schema{"logical_not",
               "not x",
               {tensor("x", {DType::boolean})},
               same_as_x,
               evaluate_unary<logical_not>},
        with("log", "log(x + epsilon)", "epsilon", 1e-45, evaluate_with<log_of, epsilon_name>),
        with("rsqrt", "1 / sqrt(x + epsilon)", "epsilon", 1e-12,
             evaluate_with<rsqrt_of, epsilon_name>),
        with("inverse", "1 / (x + epsilon)", "epsilon", 1e-4,
             evaluate_with<inverse_of, epsilon_name>),
        with("leaky_relu", "x, alpha * x below 0", "alpha", 0.01,
             evaluate_with<leaky_relu_of, alpha_name>),
        with("elu", "x, alpha * (exp(x) - 1) below 0", "alpha", 1.0,
             evaluate_with<elu_of, alpha_name>),
        Schema{"clip",
               "min(max(x, alpha), beta)",
               {tensor("x", floats), constant("alpha"), constant("beta")},
               same_as_x,
               evaluate_clip},
        Schema{"gelu",
               "x * Phi(x), exact or approximated",
               {tensor("x", floats), constant("mode", Literal::text("EXACT"))},
               infer_gelu,
               evaluate_gelu},
    };
}

}  // namespace pome::mil::ops
