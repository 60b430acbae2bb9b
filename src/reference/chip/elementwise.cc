#include "reference/chip/elementwise.h"

#include <cmath>
#include <limits>

namespace pome::reference::chip {

double load(fp16 x, const Rules& rules) {
    if (rules.coerce_nan && is_nan(x)) {
        return std::numeric_limits<double>::infinity();
    }
    return to_float(x);
}

fp16 store(double exact, const Rules& rules) {
    if (rules.coerce_nan && (std::isnan(exact) || exact == 0.0)) {
        return fp16{0};
    }
    const fp16 rounded = to_fp16(exact, rules.output);
    return rules.coerce_nan && is_zero(rounded) ? fp16{0} : rounded;
}

// Sums and products of two fp16 values are exact in double; a quotient is so far from any tie
// between fp16 values, or exactly on it, that rounding it to double first changes nothing.
fp16 add(fp16 x, fp16 y, const Rules& rules) {
    return store(load(x, rules) + load(y, rules), rules);
}
fp16 sub(fp16 x, fp16 y, const Rules& rules) {
    return store(load(x, rules) - load(y, rules), rules);
}
fp16 mul(fp16 x, fp16 y, const Rules& rules) {
    return store(load(x, rules) * load(y, rules), rules);
}

fp16 real_div(fp16 x, fp16 y, const Rules& rules) {
    // 1 / -0 is +inf on the engine: zeros have no sign there.
    const double divisor = rules.coerce_nan && is_zero(y) ? 0.0 : load(y, rules);
    return store(load(x, rules) / divisor, rules);
}

fp16 maximum(fp16 x, fp16 y, const Rules& rules) {
    const double a = load(x, rules), b = load(y, rules);
    return store(a > b ? a : b, rules);
}
fp16 minimum(fp16 x, fp16 y, const Rules& rules) {
    const double a = load(x, rules), b = load(y, rules);
    return store(a < b ? a : b, rules);
}

fp16 abs(fp16 x, const Rules& rules) {
    return store(std::fabs(load(x, rules)), rules);
}
fp16 sign(fp16 x, const Rules& rules) {
    const double a = load(x, rules);
    return store(a > 0.0 ? 1.0 : a < 0.0 ? -1.0 : 0.0, rules);
}
fp16 floor(fp16 x, const Rules& rules) {
    return store(std::floor(load(x, rules)), rules);
}
fp16 ceil(fp16 x, const Rules& rules) {
    return store(std::ceil(load(x, rules)), rules);
}
fp16 round(fp16 x, const Rules& rules) {
    const double a = load(x, rules);
    return store(std::trunc(static_cast<double>(to_float(store(a + std::copysign(0.5, a), rules)))),
                 rules);
}
fp16 square(fp16 x, const Rules& rules) {
    return mul(x, x, rules);
}
fp16 relu(fp16 x, const Rules& rules) {
    return maximum(x, fp16{0}, rules);
}

}  // namespace pome::reference::chip
