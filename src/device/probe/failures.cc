// What chips and routes get wrong: without a word, or for the rest of a process's life.
#include <fmt/format.h>

#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

constexpr double step = 0.0009765625;  // keeps every value apart in fp16

void record(Bench& bench, const std::string& key, const Outcome& outcome,
            const std::vector<double>& expected, const std::string& what) {
    const std::string found = reaction(outcome, expected);
    if (found.empty()) {
        bench.open(key, what + ": " + words(outcome));
    } else {
        bench.found(key, found, what + ": " + (found == "works" ? "right" : found));
    }
}

void find_runtime_weight(Bench& bench) {
    // Weights and values of equal size, in rows that every route takes: the identity matrix, twice.
    std::vector<double> w(row * row), x = ramp(row * row, 1.0, step), y = x;
    for (std::size_t i = 0; i < row; ++i) {
        w[i * row + i] = 2.0;
    }
    for (double& value : y) {
        value *= 2.0;
    }
    record(bench, "failures.runtime_conv_weight",
           bench.evaluate(
               {{{"w", {1, 1, row, row}, DType::fp16, std::move(w), 0},
                 {"x", {1, row, 1, row}, DType::fp16, std::move(x), 0}},
                "tensor<fp16, [32, 32, 1, 1]> k = reshape(x = w, shape = tensor<int32, [4]>([32, "
                "32, 1, 1])); tensor<fp16, [1, 32, 1, 32]> y = conv(x = x, weight = k, strides = "
                "tensor<int32, [2]>([1, 1]), pad_type = string(\"valid\"), pad = tensor<int32, "
                "[4]>([0, 0, 0, 0]), dilations = tensor<int32, [2]>([1, 1]), groups = int32(1));"}),
           y, "a 1 x 1 convolution whose weight is an input");
}

/// A matmul over `inner` terms, all of them 1: y is `inner` everywhere.
Outcome ones(Bench& bench, std::int64_t inner) {
    return bench.evaluate({{plane(inner, row, ramp(inner * row, 1.0, 0.0))},
                           "tensor<fp16, [1, 1, 32, 32]> y = matmul(x = x, y = w, transpose_x = "
                           "bool(true), transpose_y = bool(false));",
                           {{"w", {1, 1, inner, row}, DType::fp16, ramp(inner * row, 1.0, 0.0)}}});
}

void find_inner_multiple(Bench& bench) {
    const auto right = [](std::int64_t inner) {
        return std::vector<double>(row * row, static_cast<double>(inner));
    };
    const std::string key = "limits.matmul_inner_multiple";
    const std::string odd = reaction(ones(bench, 65), right(65));
    if (odd.empty()) {
        bench.open(key, "a product over 65 terms gives values that are wrong otherwise");
        return;
    }
    std::int64_t unit = odd == "works" ? 0 : 2;
    while (unit > 0 && unit < 64 && reaction(ones(bench, 64 + unit), right(64 + unit)) != "works") {
        unit *= 2;
    }
    const std::string seen =
        odd == "works" ? std::string("products over 65 terms are right")
                       : fmt::format("products over 65 terms: {}, over 64 + {} right", odd, unit);
    bench.found(key, unit, seen);
    bench.found("failures.inner_multiple", odd, seen);
}

void find_channel_broadcast(Bench& bench) {
    std::vector<double> x(row * row), y(row * row);
    for (std::size_t c = 0; c < row; ++c) {
        x[c * row] = static_cast<double>(c + 1);  // each channel sums to its number
        y[c * row] = static_cast<double>((c + 1) * (c + 1));
    }
    record(bench, "failures.channel_broadcast",
           bench.evaluate({{{"x", {1, row, row}, DType::fp16, std::move(x), 0}},
                           "tensor<fp16, [1, 32, 1]> s = reduce_sum(x = x, axes = tensor<int32, "
                           "[1]>([2]), keep_dims = bool(true)); tensor<fp16, [1, 32, 32]> y = "
                           "mul(x = x, y = s);"}),
           y, "[1, C, S] times [1, C, 1]");
}

void find_rounding_scale(Bench& bench) {
    const std::string key = "failures.rounding_scale";
    std::vector<double> x = ramp(row * row, 0.5, 1.0), floors(x.size()), products(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        floors[i] = static_cast<double>(i);
        products[i] = 2.0 * floors[i];
    }
    const Outcome outcome =
        bench.evaluate({{plane(row, row, std::move(x))},
                        "tensor<fp16, [1, 1, 32, 32]> f = floor(x = x); tensor<fp16, [1, 1, 32, "
                        "32]> y = mul(x = f, y = fp16(0x1p+1));"});
    if (is_done(outcome) && outcome.values == floors) {
        bench.found(key, std::string("ignored"), "2 floor(x) gives floor(x)");
    } else {
        record(bench, key, outcome, products, "2 floor(x)");
    }
}

void find_width_slices(Bench& bench) {
    std::vector<double> x = ramp(row * 3 * row, 1.0, 0.0), y(row * 2 * row);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<double>(i % (3 * row) + 1);
    }
    for (std::size_t i = 0; i < y.size(); ++i) {
        y[i] = static_cast<double>(i % (2 * row) + row + 1);
    }
    record(bench, "failures.width_slices",
           bench.evaluate(
               {{plane(row, 3 * row, std::move(x))},
                "tensor<fp16, [1, 1, 32, 32]> a = slice_by_size(x = x, begin = tensor<int32, "
                "[4]>([0, 0, 0, 32]), size = tensor<int32, [4]>([1, 1, 32, 32])); tensor<fp16, [1, "
                "1, 32, 32]> b = slice_by_size(x = x, begin = tensor<int32, [4]>([0, 0, 0, 64]), "
                "size = tensor<int32, [4]>([1, 1, 32, 32])); tensor<fp16, [1, 1, 32, 64]> y = "
                "concat(values = (a, b), axis = int32(3), interleave = bool(false));"}),
           y, "two slices inside the width, one beside the other");
}

void find_gather(Bench& bench) {
    const std::string key = "failures.last_axis_gather";
    std::vector<double> x(row * 2 * row), y;
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<double>(i + 1);
    }
    for (std::size_t i = 0; i < row; ++i) {
        for (const std::size_t at : {33U, 5U, 62U}) {
            y.push_back(x[i * 2 * row + at]);
        }
    }
    const Outcome outcome = bench.evaluate(
        {{plane(row, 2 * row, std::move(x))},
         "tensor<fp16, [1, 1, 32, 3]> g = gather(x = x, indices = tensor<int32, [3]>([33, 5, 62]), "
         "axis = int32(3)); tensor<fp16, [1, 1, 1, 96]> y = reshape(x = g, shape = tensor<int32, "
         "[4]>([1, 1, 1, 96]));"});
    if (outcome.status == Outcome::Status::refused) {
        bench.open(key, words(outcome));
    } else {
        record(bench, key, outcome, y, "three elements of the last axis by their indices");
    }
}

}  // namespace

void probe_silent_failures(Bench& bench) {
    find_runtime_weight(bench);
    find_inner_multiple(bench);
    find_channel_broadcast(bench);
    find_rounding_scale(bench);
    find_width_slices(bench);
    find_gather(bench);
}

void probe_poison(Bench& bench) {
    const std::string key = "failures.tile";
    std::vector<double> x = ramp(row * row, 1.0, step), y = x;
    y.insert(y.end(), x.begin(), x.end());
    const Program control{{plane(row, row, x)}, "tensor<fp16, [1, 1, 32, 32]> y = relu(x = x);"};
    const Program tile{{plane(row, row, x)},
                       "tensor<fp16, [1, 1, 64, 32]> y = tile(x = x, reps = tensor<int32, [4]>([1, "
                       "1, 2, 1]));"};
    const auto outcomes = bench.evaluate_together({control, tile, control});
    if (reaction(outcomes[0], x) != "works") {
        bench.open(key, words(outcomes[0]));
    } else if (outcomes[1].status == Outcome::Status::failed && !is_done(outcomes[2])) {
        bench.found(key, std::string("poisoned"),
                    "tile fails, and so does what worked before it: " + outcomes[2].message);
    } else {
        record(bench, key, outcomes[1], y, "tile");
    }
}

}  // namespace pome::device::probe
