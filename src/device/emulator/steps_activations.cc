// Activations with parameters.
#include "device/emulator/elementwise.h"
#include "reference/chip/activations.h"
#include "reference/chip/elementwise.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

/// A constant parameter as the engine stores it.
fp16 parameter(const mil::Arguments& arguments, std::string_view name) {
    return to_fp16(arguments.number(name), Rounding::nearest_even);
}

std::string key(const mil::Operation& operation, std::initializer_list<fp16> parameters) {
    std::string text = operation.op;
    for (const fp16 one : parameters) {
        text += " " + std::to_string(one.bits);
    }
    return text;
}

template <fp16 (*function)(fp16, const Numerics&)>
void make_plain(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Numerics& numerics = plan.numerics();
    add_unary(plan, operation, arguments, operation.op,
              [&](fp16 x) { return function(x, numerics); });
}

template <fp16 (*function)(fp16, fp16, const Numerics&)>
void make_with_alpha(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Numerics& numerics = plan.numerics();
    const fp16 alpha = parameter(arguments, "alpha");
    add_unary(plan, operation, arguments, key(operation, {alpha}),
              [&](fp16 x) { return function(x, alpha, numerics); });
}

template <fp16 (*function)(fp16, fp16, fp16, const Numerics&)>
void make_with_alpha_beta(Plan& plan, const mil::Operation& operation,
                          const mil::Arguments& arguments) {
    const Numerics& numerics = plan.numerics();
    const fp16 alpha = parameter(arguments, "alpha"), beta = parameter(arguments, "beta");
    add_unary(plan, operation, arguments, key(operation, {alpha, beta}),
              [&](fp16 x) { return function(x, alpha, beta, numerics); });
}

fp16 threshold(fp16 x, fp16 alpha, const Numerics& numerics) {
    return chip::maximum(x, alpha, numerics.elementwise);
}

void make_gelu(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Numerics& numerics = plan.numerics();
    const std::string& name = arguments.text("mode");
    const auto mode = name == "EXACT"                ? chip::GeluMode::exact
                      : name == "TANH_APPROXIMATION" ? chip::GeluMode::tanh
                                                     : chip::GeluMode::sigmoid;
    add_unary(plan, operation, arguments, "gelu " + name,
              [&](fp16 x) { return chip::gelu(mode, x, numerics); });
}

/// alpha along axis 1.
void make_prelu(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    Place alpha = plan.operand(arguments, "alpha");
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.shape.rank()), 1));
    shape[1] = x.shape[1];
    alpha.shape = shape;
    add_broadcast(plan, {x, alpha}, plan.result(operation),
                  [](const Elements& in, const Numerics& numerics) {
                      return chip::leaky_relu(in[0], in[1], numerics);
                  });
}

}  // namespace

Makers activation_makers() {
    return {{"relu6", make_plain<chip::relu6>},
            {"softplus", make_plain<chip::softplus>},
            {"softsign", make_plain<chip::softsign>},
            {"leaky_relu", make_with_alpha<chip::leaky_relu>},
            {"thresholded_relu", make_with_alpha<chip::thresholded_relu>},
            {"threshold", make_with_alpha<threshold>},
            {"elu", make_with_alpha<chip::elu>},
            {"clip", make_with_alpha_beta<chip::clip>},
            {"clamped_relu", make_with_alpha_beta<chip::clamped_relu>},
            {"linear_activation", make_with_alpha_beta<chip::linear_activation>},
            {"sigmoid_hard", make_with_alpha_beta<chip::sigmoid_hard>},
            {"scaled_tanh", make_with_alpha_beta<chip::scaled_tanh>},
            {"gelu", make_gelu},
            {"prelu", make_prelu}};
}

}  // namespace pome::device::emulator
