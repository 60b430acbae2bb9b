#include "reference/chip/winograd.h"

namespace pome::reference::chip {
namespace {

fp16 rounded(double value) {
    return to_fp16(value, Rounding::nearest_away);
}

double wide(fp16 value) {
    return static_cast<double>(to_float(value));
}

}  // namespace

std::array<fp16, 4> winograd_weights(const std::array<fp16, 3>& g) {
    const double a = wide(g[0]), b = wide(g[1]), c = wide(g[2]);
    return {g[0], rounded((a + b + c) / 2.0), rounded((a - b + c) / 2.0), g[2]};
}

std::array<fp16, 4> winograd_inputs(const std::array<fp16, 4>& d) {
    const double a = wide(d[0]), b = wide(d[1]), c = wide(d[2]), e = wide(d[3]);
    return {rounded(a - c), rounded(b + c), rounded(c - b), rounded(b - e)};
}

}  // namespace pome::reference::chip
