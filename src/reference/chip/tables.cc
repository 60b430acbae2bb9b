#include "reference/chip/tables.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "reference/chip/elementwise.h"

namespace pome::reference::chip {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double sigmoid(double x) {
    return 1.0 / (1.0 + std::exp(-x));
}
double gelu(double x) {
    return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
}
double silu(double x) {
    return x * sigmoid(x);
}

/// Piecewise linear on `segments` equal parts of [low, high], knots rounded to fp16, clamped
/// outside.
double interpolate(double (*f)(double), double x, double low, double high, int segments = 32) {
    const double step = (high - low) / segments;
    const double at = std::fmin(std::fmax((x - low) / step, 0.0), segments);
    const double index = std::fmin(std::floor(at), segments - 1.0);
    const auto knot = [&](double i) {
        return static_cast<double>(to_float(to_fp16(f(low + i * step), Rounding::nearest_away)));
    };
    const double first = knot(index);
    return first + (at - index) * (knot(index + 1.0) - first);
}

double two_to(double x) {
    return std::exp2(x);
}
double log_two(double x) {
    return std::log2(x);
}
double root(double x) {
    return std::sqrt(x);
}
double inverse_root(double x) {
    return 1.0 / std::sqrt(x);
}
double reciprocal_of_one_plus(double x) {
    return 1.0 / (1.0 + x);
}

double round_to_bits(double value, int fraction_bits) {
    return std::ldexp(std::round(std::ldexp(value, fraction_bits)), -fraction_bits);
}

/// f on [0, 1) by 32 lines, each given by its slope, the chord's (6 fraction bits), and its value
/// in the middle of its segment, halfway between curve and chord (13). The result has 19 fraction
/// bits before it is rounded to fp16. Source: 136 reciprocals and 2,578 exponentials read back from
/// captured attention outputs of a real engine (docs/softmax.md). They show 1 / (1 + x) in every
/// segment, 2^x in the last one; that its other segments follow the same rule is assumed.
double interpolate_from_middle(double (*f)(double), double x) {
    constexpr double segments = 32.0;
    const double low = std::floor(x * segments) / segments;
    const double middle = low + 0.5 / segments;
    const double first = f(low), last = f(low + 1.0 / segments);
    const double slope = round_to_bits((last - first) * segments, 6);
    const double value = round_to_bits((f(middle) + (first + last) / 2.0) / 2.0, 13);
    return round_to_bits(value + slope * (x - middle), 19);
}

/// 2^x by a table of 2^f on [0, 1) and an exact power of two.
double exp2_by_table(double x) {
    if (x >= 16.0) {
        return infinity;
    }  // the first power beyond fp16
    if (x < -26.0) {
        return 0.0;
    }
    const double whole = std::floor(x);
    return std::ldexp(interpolate_from_middle(two_to, x - whole), static_cast<int>(whole));
}

/// 2^(x log2 e), the product an fp16 operation with an fp16 constant. The captured outputs agree
/// with these two roundings; the published largest error of exp (9.1 units in the last place, M4
/// and M6) needs both.
double exp_by_table(double x, Rounding rounding) {
    const double log2_e = to_float(to_fp16(std::numbers::log2e, Rounding::nearest_away));
    return exp2_by_table(to_float(to_fp16(x * log2_e, rounding)));
}

/// log2 on [1/2, 1) by table and an exact exponent; the result is rounded before ln 2 is applied.
double log_by_table(double x, Rounding rounding) {
    if (x < 0.0) {
        return 0.0;
    }
    const double ln2 = to_float(to_fp16(std::numbers::ln2, Rounding::nearest_away));
    if (x == 0.0) {
        return -65536.0 * ln2;
    }  // log2(0) is coded as infinity and decoded as -2^16: -45440
    if (std::isinf(x)) {
        return infinity;
    }
    int exponent = 0;
    const double fraction = std::frexp(x, &exponent);
    const double binary = interpolate(log_two, fraction, 0.5, 1.0) + exponent;
    return static_cast<double>(to_float(to_fp16(binary, rounding))) * ln2;
}

/// f of x = m 4^e with m in [1/2, 2), for square roots.
double root_by_table(double x, bool inverse) {
    if (x < 0.0) {
        return 0.0;
    }
    if (x == 0.0) {
        return inverse ? infinity : 0.0;
    }
    if (std::isinf(x)) {
        return inverse ? 0.0 : infinity;
    }
    int exponent = 0;
    double fraction = std::frexp(x, &exponent);
    if (exponent % 2 != 0) {
        fraction *= 2.0;
        --exponent;
    }
    // Step 1/16 within each octave.
    const double value = fraction < 1.0
                             ? interpolate(inverse ? inverse_root : root, fraction, 0.5, 1.0, 16)
                             : interpolate(inverse ? inverse_root : root, fraction, 1.0, 2.0, 16);
    return std::ldexp(value, inverse ? -exponent / 2 : exponent / 2);
}

double inverse_by_table(double x) {
    if (x == 0.0) {
        return infinity;
    }
    if (std::isinf(x)) {
        return 0.0;
    }
    int exponent = 0;
    const double fraction = 2.0 * std::frexp(std::fabs(x), &exponent) - 1.0;
    const double inverse = interpolate_from_middle(reciprocal_of_one_plus, fraction);
    return std::copysign(std::ldexp(inverse, 1 - exponent), x);
}

/// Quarter wave, step pi/64.
double sine_by_table(double x) {
    if (std::isinf(x)) {
        return 0.0;
    }
    const double turns = x / (2.0 * std::numbers::pi);
    double phase = (turns - std::floor(turns)) * 4.0;  // in quarters
    const double sign = phase >= 2.0 ? -1.0 : 1.0;
    if (phase >= 2.0) {
        phase -= 2.0;
    }
    if (phase > 1.0) {
        phase = 2.0 - phase;
    }
    const auto quarter = [](double q) { return std::sin(q * std::numbers::pi / 2.0); };
    return sign * interpolate(quarter, phase, 0.0, 1.0);
}

double by_table(Function function, double x, Rounding rounding) {
    if (std::isnan(x)) {  // only where the numerics keep NaN; elsewhere it has become infinity
        return x;
    }
    // Infinity (and so NaN) reaches the limit itself, as measured on the M1; finite values stop at
    // the last knot.
    const bool bounded =
        function == Function::sigmoid || function == Function::tanh || function == Function::erf;
    if (bounded && std::isinf(x)) {
        return x > 0.0 ? 1.0 : function == Function::sigmoid ? 0.0 : -1.0;
    }
    switch (function) {
        case Function::sigmoid:
            return interpolate(sigmoid, x, -8.0, 8.0);
        case Function::tanh: {
            const auto plain = [](double v) { return std::tanh(v); };
            return std::copysign(interpolate(plain, std::fabs(x), 0.0, 4.0), x);
        }
        case Function::gelu:
            return x >= 4.0 ? x : x <= -4.0 ? 0.0 : interpolate(gelu, x, -4.0, 4.0);
        case Function::silu:
            return x >= 8.0 ? x : x <= -8.0 ? 0.0 : interpolate(silu, x, -8.0, 8.0);
        case Function::erf: {
            const auto plain = [](double v) { return std::erf(v); };
            return std::copysign(interpolate(plain, std::fabs(x), 0.0, 2.7), x);
        }
        case Function::exp:
            return exp_by_table(x, rounding);
        case Function::exp2:
            return exp2_by_table(x);
        case Function::log:
            return log_by_table(x, rounding);
        case Function::sqrt:
            return root_by_table(x, false);
        case Function::rsqrt:
            return root_by_table(x, true);
        case Function::inverse:
            return inverse_by_table(x);
        case Function::sin:
            return sine_by_table(x);
        case Function::cos:
            return sine_by_table(x + std::numbers::pi / 2.0);
        case Function::atan: {
            const auto plain = [](double v) { return std::atan(v); };
            return std::copysign(interpolate(plain, std::fabs(x), 0.0, 16.0), x);
        }
        case Function::exp_minus_one: {
            const auto plain = [](double v) { return std::expm1(v); };
            return interpolate(plain, x, -10.5, 0.0);
        }
    }
    return 0.0;
}

double exactly(Function function, double x) {
    switch (function) {
        case Function::sigmoid:
            return sigmoid(x);
        case Function::tanh:
            return std::tanh(x);
        case Function::gelu:
            return gelu(x);
        case Function::silu:
            return silu(x);
        case Function::erf:
            return std::erf(x);
        case Function::exp:
            return std::exp(x);
        case Function::exp2:
            return std::exp2(x);
        case Function::log:
            return std::log(x);
        case Function::sqrt:
            return std::sqrt(x);
        case Function::rsqrt:
            return 1.0 / std::sqrt(x);
        case Function::inverse:
            return 1.0 / x;
        case Function::sin:
            return std::sin(x);
        case Function::cos:
            return std::cos(x);
        case Function::atan:
            return std::atan(x);
        case Function::exp_minus_one:
            return std::expm1(x);
    }
    return 0.0;
}

}  // namespace

fp16 evaluate(Function function, fp16 x, const Numerics& numerics) {
    const double value = load(x, numerics.elementwise);
    return store(numerics.tables.enabled ? by_table(function, value, numerics.elementwise.output)
                                         : exactly(function, value),
                 numerics.elementwise);
}

fp16 power(fp16 x, fp16 p, const Numerics& numerics) {
    const float exponent = to_float(p);
    if (exponent == -0.5F) {
        return evaluate(Function::rsqrt, x, numerics);
    }
    if (exponent == 0.5F) {
        return evaluate(Function::sqrt, x, numerics);
    }
    if (exponent == -1.0F) {
        return evaluate(Function::inverse, x, numerics);
    }
    if (exponent == 2.0F) {
        return square(x, numerics.elementwise);
    }
    return store(std::pow(load(x, numerics.elementwise), static_cast<double>(exponent)),
                 numerics.elementwise);
}

}  // namespace pome::reference::chip
