#include "reference/chip/softmax.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/chip/elementwise.h"
#include "reference/chip/tables.h"

namespace pome::reference::chip {
namespace {

/// One after another; an empty span gives zero.
fp16 sequential_sum(std::span<const fp16> x, const Rules& rules) {
    fp16 sum{0};
    for (const fp16 value : x) {
        sum = add(sum, value, rules);
    }
    return sum;
}

fp16 sum_of_eight(std::span<const fp16> x, const Rules& rules) {
    const auto part = [&](std::size_t begin, std::size_t end) {
        begin = std::min(begin, x.size());
        return sequential_sum(x.subspan(begin, std::min(end, x.size()) - begin), rules);
    };
    return add(add(part(0, 3), part(3, 6), rules), part(6, 8), rules);
}

void exact_softmax(std::span<const fp16> x, double largest, std::span<fp16> y, const Rules& rules) {
    std::vector<double> powers;
    double sum = 0.0;
    for (const fp16 value : x) {
        const double difference = load(value, rules) - largest;
        // inf - inf: the infinite elements share the mass.
        const bool indeterminate = rules.coerce_nan && std::isnan(difference);
        powers.push_back(std::exp(indeterminate ? 0.0 : difference));
        sum += powers.back();
    }
    for (std::size_t i = 0; i < y.size(); ++i) {
        y[i] = store(powers[i] / sum, rules);
    }
}

}  // namespace

fp16 softmax_exp(fp16 difference, const Numerics& numerics) {
    return evaluate(Function::exp, difference, numerics);
}

fp16 softmax_reciprocal(fp16 sum, const Numerics& numerics) {
    return evaluate(Function::inverse, sum, numerics);
}

fp16 softmax_sum(std::span<const fp16> x, const Rules& rules) {
    double sum = 0.0;  // exact: multiples of 2^-24
    for (std::size_t at = 0; at < x.size(); at += 32) {
        const auto group = x.subspan(at, std::min<std::size_t>(32, x.size() - at));
        fp16 part{0};
        for (std::size_t i = 0; i < group.size(); i += 8) {
            const auto eight = group.subspan(i, std::min<std::size_t>(8, group.size() - i));
            part = add(part, sum_of_eight(eight, rules), rules);
        }
        sum += static_cast<double>(to_float(part));
    }
    return store(sum, rules);
}

void softmax(std::span<const fp16> x, std::span<fp16> y, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    fp16 largest{0xFC00};
    for (const fp16 value : x) {
        largest = maximum(value, largest, rules);
    }
    if (!numerics.softmax.narrow) {
        exact_softmax(x, load(largest, rules), y, rules);
        return;
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
        y[i] = softmax_exp(sub(x[i], largest, rules), numerics);
    }
    const fp16 factor = softmax_reciprocal(softmax_sum(y, rules), numerics);
    for (fp16& value : y) {
        value = mul(value, factor, rules);
    }
}

}  // namespace pome::reference::chip
