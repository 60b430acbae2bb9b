#include "reference/chip/softmax.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/chip/elementwise.h"
#include "reference/chip/tables.h"

namespace pome::reference::chip {
namespace {

/// Sums of four neighbours, then of pairs of those, every sum rounded to fp16.
fp16 narrow_sum(std::span<const fp16> x, const Rules& rules) {
    std::vector<fp16> sums;
    for (std::size_t start = 0; start < x.size(); start += 4) {
        fp16 sum = x[start];
        for (std::size_t i = start + 1; i < std::min(start + 4, x.size()); ++i) {
            sum = add(sum, x[i], rules);
        }
        sums.push_back(sum);
    }
    while (sums.size() > 1) {
        std::vector<fp16> next;
        for (std::size_t i = 0; i + 1 < sums.size(); i += 2) {
            next.push_back(add(sums[i], sums[i + 1], rules));
        }
        if (sums.size() % 2 != 0) {
            next.push_back(sums.back());
        }
        sums = std::move(next);
    }
    return sums.front();
}

}  // namespace

fp16 softmax_exp(fp16 difference, const Numerics& numerics) {
    return evaluate(Function::exp, difference, numerics);
}

void softmax(std::span<const fp16> x, std::span<fp16> y, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    double largest = load(x[0], rules);
    for (const fp16 value : x) {
        largest = std::max(largest, load(value, rules));
    }
    if (!numerics.softmax.narrow) {
        std::vector<float> powers(x.size());
        float sum = 0.0F;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double difference = load(x[i], rules) - largest;
            sum += powers[i] =
                static_cast<float>(std::exp(std::isnan(difference) ? 0.0 : difference));
        }
        for (std::size_t i = 0; i < x.size(); ++i) {
            y[i] = to_fp16(powers[i] / sum, rules.output);
        }
        return;
    }
    const fp16 top = to_fp16(largest, Rounding::nearest_away);
    for (std::size_t i = 0; i < x.size(); ++i) {
        y[i] = softmax_exp(sub(x[i], top, rules), numerics);
    }
    const fp16 sum = narrow_sum(y, rules);
    const fp16 factor = store(1.0 / static_cast<double>(to_float(sum)), rules);
    for (fp16& value : y) {
        value = mul(value, factor, rules);
    }
}

}  // namespace pome::reference::chip
