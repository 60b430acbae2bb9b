#include "reference/chip/activations.h"

#include <cmath>

#include "reference/chip/elementwise.h"
#include "reference/chip/tables.h"
#include "reference/scalar.h"

namespace pome::reference::chip {
namespace {

constexpr fp16 one{0x3C00};
constexpr fp16 six{0x4600};
constexpr float softplus_limit = 0x1p15F;

}  // namespace

fp16 relu6(fp16 x, const Numerics& numerics) {
    return clip(x, fp16{0}, six, numerics);
}

fp16 clip(fp16 x, fp16 low, fp16 high, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    return minimum(maximum(x, low, rules), high, rules);
}

fp16 leaky_relu(fp16 x, fp16 alpha, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    return load(x, rules) < 0.0 ? mul(x, alpha, rules) : maximum(x, fp16{0}, rules);
}

fp16 clamped_relu(fp16 x, fp16 alpha, fp16 beta, const Numerics& numerics) {
    return minimum(leaky_relu(x, alpha, numerics), beta, numerics.elementwise);
}

fp16 thresholded_relu(fp16 x, fp16 alpha, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    const double value = load(x, rules);
    return store(value >= static_cast<double>(to_float(alpha)) ? value : 0.0, rules);
}

fp16 linear_activation(fp16 x, fp16 alpha, fp16 beta, const Numerics& numerics) {
    // The product has 22 bits; its sum with beta is rounded to double far below an fp16 tie.
    return store(load(x, numerics.elementwise) * static_cast<double>(to_float(alpha)) +
                     static_cast<double>(to_float(beta)),
                 numerics.elementwise);
}

fp16 sigmoid_hard(fp16 x, fp16 alpha, fp16 beta, const Numerics& numerics) {
    return clip(linear_activation(x, alpha, beta, numerics), fp16{0}, one, numerics);
}

fp16 elu(fp16 x, fp16 alpha, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    if (!(load(x, rules) < 0.0)) {
        return store(load(x, rules), rules);
    }
    return mul(alpha, evaluate(Function::exp_minus_one, x, numerics), rules);
}

fp16 scaled_tanh(fp16 x, fp16 alpha, fp16 beta, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    return mul(alpha, evaluate(Function::tanh, mul(beta, x, rules), numerics), rules);
}

fp16 softplus(fp16 x, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    if (!numerics.tables.enabled) {
        return store(reference::softplus(load(x, rules)), rules);
    }
    const fp16 sum = add(one, evaluate(Function::exp, x, numerics), rules);
    return to_float(sum) >= softplus_limit ? fp16{0} : evaluate(Function::log, sum, numerics);
}

fp16 log_of_exponentials(fp16 sum, const Numerics& numerics) {
    return numerics.tables.enabled && is_infinite(sum) ? fp16{0}
                                                       : evaluate(Function::log, sum, numerics);
}

fp16 softsign(fp16 x, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    if (!numerics.tables.enabled) {
        return store(reference::softsign(load(x, rules)), rules);
    }
    const fp16 sum = add(one, abs(x, rules), rules);
    return mul(x, evaluate(Function::inverse, sum, numerics), rules);
}

fp16 gelu(GeluMode mode, fp16 x, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    if (!numerics.tables.enabled) {
        const double value = load(x, rules);
        return store(mode == GeluMode::exact  ? reference::gelu(value)
                     : mode == GeluMode::tanh ? reference::gelu_tanh(value)
                                              : reference::gelu_sigmoid(value),
                     rules);
    }
    if (mode == GeluMode::sigmoid) {
        const fp16 scaled = mul(x, to_fp16(1.702, Rounding::nearest_even), rules);
        return mul(x, evaluate(Function::sigmoid, scaled, numerics), rules);
    }
    return evaluate(Function::gelu, x, numerics);
}

}  // namespace pome::reference::chip
