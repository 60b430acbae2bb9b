// Convolutions, slices, the elementwise unit, its tables, softmax.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::size_t cells = row * row;

std::string convolution(std::string_view type, std::string_view weight, std::string_view pad) {
    return fmt::format(
        "{} y = conv(x = x, weight = {}, strides = tensor<int32, [2]>([1, 1]), pad_type = "
        "string(\"custom\"), pad = tensor<int32, [4]>([{}]), dilations = tensor<int32, [2]>([1, "
        "1]), groups = int32(1));",
        type, weight, pad);
}

constexpr std::size_t channels = 16;

/// A 3 x 3 convolution whose output c is channel c less channel c + 1, by the tap before the middle
/// one along an axis. Even channels hold 2048 and -3 on, odd ones 2048 alone. Direct sums are
/// exact: 0. The transforms of F(2,3) round 2048 + 3 to 2052 on the way: 1, however sums are
/// rounded.
Outcome difference_by_taps(Bench& bench, bool along_width, std::vector<double>& x) {
    std::vector<double> weight(channels * channels * 9);
    const std::size_t tap = along_width ? 3 : 1;
    x.assign(channels * cells, 0.0);
    for (std::size_t c = 0; c < channels; ++c) {
        weight[(c * channels + c) * 9 + tap] = 1.0;
        weight[(c * channels + (c + 1) % channels) * 9 + tap] = -1.0;
        for (std::size_t i = 0; i < row; ++i) {
            const auto place = [&](std::size_t at) {
                return c * cells + (along_width ? i * row + at : at * row + i);
            };
            x[place(1)] = 2048.0;
            x[place(3)] = c % 2 == 0 ? -3.0 : 0.0;
        }
    }
    return bench.evaluate({{{"x", {1, channels, row, row}, DType::fp16, x, 0}},
                           convolution("tensor<fp16, [1, 16, 32, 32]>", "w", "1, 1, 1, 1"),
                           {{"w", {channels, channels, 3, 3}, DType::fp16, std::move(weight)}}});
}

/// What direct sums give: the difference of two channels, moved by one along the axis.
std::vector<double> moved(const std::vector<double>& x, bool along_width) {
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t at = along_width ? i % row : i / row % row;
        const std::size_t from = i - (along_width ? 1 : row);
        y[i] = at == 0 ? 0.0 : x[from] - x[(from + cells) % x.size()];
    }
    return y;
}

void find_winograd(Bench& bench) {
    const std::string key = "numerics.convolution.winograd_width";
    std::vector<double> along, across;
    const Outcome wide = difference_by_taps(bench, true, along),
                  high = difference_by_taps(bench, false, across);
    if (!is_done(wide) || !is_done(high)) {
        bench.open(key, words(is_done(wide) ? high : wide));
        return;
    }
    const bool direct_wide = wide.values == moved(along, true),
               direct_high = high.values == moved(across, false);
    const std::string seen = fmt::format(
        "a 3 x 3 kernel gives {} for (2048, 0, -3) less (2048, 0, 0) along the width, {} "
        "along the height",
        wide.values[2], high.values[2 * row]);
    if (direct_wide && direct_high) {
        bench.found(key, false, seen);
    } else if (!direct_wide && direct_high && wide.values[2] == 1.0) {
        bench.found(key, true, seen);
    } else {
        bench.open(key, seen);
    }
}

void find_bypass(Bench& bench) {
    const std::string key = "numerics.convolution.single_channel_bypass";
    const Outcome outcome =
        bench.evaluate({{plane(row, row, {60000.0, 1.0, 2.0})},
                        convolution("tensor<fp16, [1, 1, 32, 32]>", "w", "0, 0, 0, 0"),
                        {{"w", {1, 1, 1, 1}, DType::fp16, {1.0}}}});
    if (!is_done(outcome) || outcome.values[2] != 2.0) {
        bench.open(key, words(outcome));
        return;
    }
    const double first = outcome.values[0];
    const std::string seen =
        fmt::format("60000 through a 1 x 1 convolution of one channel becomes {}", first);
    if (first == 60000.0 || first == infinity) {
        bench.found(key, first == 60000.0, seen);
    } else {
        bench.open(key, seen);
    }
}

}  // namespace

void probe_convolutions(Bench& bench) {
    find_winograd(bench);
    find_bypass(bench);
}

void probe_slices(Bench& bench) {
    const std::string key = "numerics.slice.width_gain";
    std::vector<double> x(row * 2 * row, 1.0);
    x[row] = 4094.0;
    x[row + 1] = 4096.0;
    x[row + 2] = 60000.0;
    x[row + 3] = -60000.0;
    const Outcome outcome = bench.evaluate(
        {{plane(row, 2 * row, x)},
         "tensor<fp16, [1, 1, 32, 32]> y = slice_by_size(x = x, begin = tensor<int32, [4]>([0, 0, "
         "0, 32]), size = tensor<int32, [4]>([1, 1, 32, 32]));"});
    if (!is_done(outcome)) {
        bench.open(key, words(outcome));
        return;
    }
    const auto& y = outcome.values;
    const std::string seen = fmt::format(
        "4094, 4096, 60000 and -60000 behind a slice inside the width become {}, {}, "
        "{} and {}",
        y[0], y[1], y[2], y[3]);
    const bool clean = y[1] == 4096.0 && y[2] == 60000.0 && y[3] == -60000.0;
    const bool gained = y[1] == infinity && y[2] == infinity && y[3] == -infinity;
    if (y[0] != 4094.0 || y[4] != 1.0 || clean == gained) {
        bench.open(key, seen);
    } else {
        bench.found(key, gained, seen);
    }
}

namespace {

/// y = op(x, w) of a constant of the full shape, over the first elements; the rest is ones.
Outcome with_constant(Bench& bench, std::string_view op, std::vector<double> x,
                      std::vector<double> w) {
    x.resize(cells, 1.0);
    w.resize(cells, 1.0);
    return bench.evaluate({{plane(row, row, std::move(x))},
                           fmt::format("tensor<fp16, [1, 1, 32, 32]> y = {}(x = x, y = w);", op),
                           {{"w", {1, 1, row, row}, DType::fp16, std::move(w)}}});
}

void find_elementwise_rounding(Bench& bench) {
    const std::string key = "numerics.elementwise.output";
    // Both give 2049, 2051 and -2049: ties between the even 2048, the odd 2050 and 2052.
    const Outcome product = with_constant(bench, "mul", {683, 293, -683}, {3, 7, 3}),
                  sum = with_constant(bench, "add", {2048, 2048, -2048}, {1, 3, -1});
    if (!is_done(product) || !is_done(sum)) {
        bench.open(key, words(is_done(product) ? sum : product));
        return;
    }
    const auto name = [](const std::vector<double>& y) -> std::string {
        const std::array<double, 3> first{y[0], y[1], y[2]};
        return first == std::array{2050.0, 2052.0, -2050.0}   ? "nearest_away"
               : first == std::array{2048.0, 2052.0, -2048.0} ? "nearest_even"
               : first == std::array{2048.0, 2050.0, -2048.0} ? "toward_zero"
                                                              : "";
    };
    const std::string seen =
        fmt::format("2049, 2051 and -2049 become {}, {} and {} as products, {}, {} and {} as sums",
                    product.values[0], product.values[1], product.values[2], sum.values[0],
                    sum.values[1], sum.values[2]);
    const std::string found = name(product.values);
    if (found.empty() || found != name(sum.values)) {
        bench.open(key, seen);
    } else {
        bench.found(key, found, seen);
    }
}

void find_coercion(Bench& bench) {
    const std::string key = "numerics.elementwise.coerce_nan";
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const Outcome sum = with_constant(bench, "add", {nan, -0.0}, {1.0, -0.0}),
                  product = with_constant(bench, "mul", {infinity, nan}, {0.0, 1.0});
    if (!is_done(product) || !is_done(sum)) {
        bench.open(key, words(is_done(product) ? sum : product));
        return;
    }
    const double more = sum.values[0], zero = sum.values[1], none = product.values[0],
                 one = product.values[1];
    const std::string seen = fmt::format(
        "NaN + 1 is {}, -0 + -0 is {}, infinity x 0 is {}, NaN x 1 is {}", more, zero, none, one);
    const bool coerces = more == infinity && none == 0.0 && one == infinity && !std::signbit(zero);
    const bool keeps = std::isnan(more) && std::isnan(none) && std::isnan(one);
    if (coerces == keeps) {
        bench.open(key, seen);
    } else {
        bench.found(key, coerces, seen);
    }
}

/// The distance between fp16 numbers at y.
double unit_of(double y) {
    return std::ldexp(1.0, std::max(std::ilogb(std::fabs(y)), -14) - 10);
}

/// x as fp16 holds it.
double rounded(double x) {
    return static_cast<double>(to_float(to_fp16(x, Rounding::nearest_even)));
}

}  // namespace

void probe_elementwise(Bench& bench) {
    find_elementwise_rounding(bench);
    find_coercion(bench);
}

void probe_tables(Bench& bench) {
    const std::string key = "numerics.tables.enabled";
    std::string seen;
    bool tables = true, exact = true;
    const std::pair<const char*, double (*)(double)> functions[] = {
        {"sigmoid", [](double x) { return 1.0 / (1.0 + std::exp(-x)); }},
        {"tanh", [](double x) { return std::tanh(x); }}};
    for (const auto& [op, function] : functions) {
        std::vector<double> x = ramp(cells, -7.984375, 0.015625);  // exact in fp16
        const Outcome outcome = bench.evaluate(
            {{plane(row, row, x)}, fmt::format("tensor<fp16, [1, 1, 32, 32]> y = {}(x = x);", op)});
        if (!is_done(outcome)) {
            bench.open(key, words(outcome));
            return;
        }
        double units = 0.0, error = 0.0;
        for (std::size_t i = 0; i < cells; ++i) {
            const double y = function(x[i]);
            units = std::max(units, std::fabs(outcome.values[i] - y) / unit_of(y));
            error = std::max(error, std::fabs(outcome.values[i] - y));
        }
        // Rounded once a result is within half a unit; a table of 33 knots is not, but it is near.
        exact = exact && units <= 0.5001;
        tables = tables && units > 2.0 && error < 0.02;
        seen += fmt::format("{}{} is off by {:.2g} at most", seen.empty() ? "" : ", ", op, error);
    }
    if (tables == exact) {
        bench.open(key, seen);
    } else {
        bench.found(key, tables, seen);
    }
}

void probe_softmax(Bench& bench) {
    const std::string key = "numerics.softmax.narrow";
    std::vector<double> x(cells);
    for (std::size_t i = 0; i < cells; ++i) {
        x[i] = rounded(3.0 * std::sin(0.7 * static_cast<double>(i)));
    }
    const Outcome outcome =
        bench.evaluate({{plane(row, row, x)},
                        "tensor<fp16, [1, 1, 32, 32]> y = softmax(x = x, axis = int32(-1));"});
    if (!is_done(outcome)) {
        bench.open(key, words(outcome));
        return;
    }
    double units = 0.0, error = 0.0;
    for (std::size_t first = 0; first < cells; first += row) {
        const auto from = x.begin() + static_cast<std::ptrdiff_t>(first);
        const double most = *std::max_element(from, from + row);
        double sum = 0.0;
        for (std::size_t i = first; i < first + row; ++i) {
            sum += std::exp(x[i] - most);
        }
        for (std::size_t i = first; i < first + row; ++i) {
            const double y = std::exp(x[i] - most) / sum;
            units = std::max(units, std::fabs(outcome.values[i] - y) / unit_of(y));
            error = std::max(error, std::fabs(outcome.values[i] / y - 1.0));
        }
    }
    const std::string seen =
        fmt::format("32 probabilities a row are off by {:.1f} units of fp16 at most", units);
    if (error > 0.02) {
        bench.open(key, seen);
    } else {
        bench.found(key, units > 0.5001, seen);
    }
}

}  // namespace pome::device::probe
