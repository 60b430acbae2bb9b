// The sizes that the compiler takes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

Program relu(const Shape& shape) {
    return {{{"x", shape, DType::fp16, {}, 0}},
            fmt::format("tensor<fp16, [{}]> y = relu(x = x);", fmt::join(shape, ", "))};
}

void find_rank(Bench& bench) {
    const auto rank = [&](int count) {
        std::vector<std::int64_t> sizes(static_cast<std::size_t>(count), 1);
        sizes.back() = row;
        const std::string list = fmt::format("{}", fmt::join(sizes, ", "));
        return bench.compiles(
            {{plane(1, row)},
             fmt::format(
                 "tensor<fp16, [{}]> r = reshape(x = x, shape = tensor<int32, [{}]>([{}])); "
                 "tensor<fp16, [{}]> s = relu(x = r); tensor<fp16, [1, 1, 1, 32]> y = "
                 "reshape(x = s, shape = tensor<int32, [4]>([1, 1, 1, 32]));",
                 list, count, list, list)});
    };
    int most = 4;
    while (most < 8 && rank(most + 1)) {
        ++most;
    }
    const std::string seen = fmt::format("values of {} axes compile, of {} not", most, most + 1);
    if (most == 8) {
        bench.open("limits.max_rank", "values of 8 axes compile");
    } else {
        bench.found("limits.max_rank", std::int64_t{most}, seen);
    }
}

/// "... exceeds ANE family 4's max dimension ...": the compiler's own name for its family.
void find_family(Bench& bench, const std::string& message) {
    constexpr std::string_view mark = "ANE family ";
    const auto at = message.find(mark);
    std::int64_t number = 0;
    if (at != std::string::npos) {
        for (std::size_t i = at + mark.size();
             i < message.size() && message[i] >= '0' && message[i] <= '9' && number < 1000; ++i) {
            number = number * 10 + (message[i] - '0');
        }
    }
    if (number > 0) {
        bench.found("limits.family_number", number, message);
    } else {
        bench.open("limits.family_number", "the refusal names none: " + message);
    }
}

/// The largest height, which shares its limit with the width; 0 when none was found.
std::int64_t find_width(Bench& bench) {
    constexpr std::int64_t beyond = 131072, small = 1024;
    const Outcome refusal = bench.compile(relu({1, 1, beyond, row}));
    if (is_done(refusal)) {
        bench.open("limits.max_width", fmt::format("{} rows compile", beyond));
        return 0;
    }
    if (!bench.compiles(relu({1, 1, small, row}))) {
        bench.open("limits.max_width", fmt::format("{} rows do not compile", small));
        return 0;
    }
    const std::int64_t most = largest(small, beyond, {16384, 65536}, [&](std::int64_t rows) {
        return bench.compiles(relu({1, 1, rows, row}));
    });
    bench.found("limits.max_width", most,
                fmt::format("{} rows compile, {} do not", most, most + 1));
    find_family(bench, refusal.message);
    return most;
}

void find_channels(Bench& bench) {
    constexpr std::int64_t beyond = 131072, small = 1024;
    const auto accepts = [&](std::int64_t channels) {
        return bench.compiles(relu({1, channels, 1, row}));
    };
    if (!accepts(small) || accepts(beyond)) {
        bench.open("limits.max_channels",
                   fmt::format("{} channels do not compile, or {} do", small, beyond));
        return;
    }
    const std::int64_t most = largest(small, beyond, {65536}, accepts);
    bench.found("limits.max_channels", most,
                fmt::format("{} channels compile, {} do not", most, most + 1));
}

void find_inner(Bench& bench, std::int64_t width) {
    if (width < row) {
        bench.open("limits.max_inner", "the largest width is not known");
        return;
    }
    const auto accepts = [&](std::int64_t inner) {
        return bench.compiles({{plane(row, inner)},
                               "tensor<fp16, [1, 1, 32, 32]> y = matmul(x = x, y = x, transpose_x "
                               "= bool(false), transpose_y = bool(true));"});
    };
    if (accepts(width)) {
        bench.open("limits.max_inner",
                   fmt::format("{} products sum up, and no value is wider", width));
        return;
    }
    const std::int64_t most = largest(row, width, {16384, 32768}, accepts);
    bench.found("limits.max_inner", most,
                fmt::format("{} products sum up, {} do not compile", most, most + 1));
}

/// A limit on one size of a window: the largest n in [1, beyond) that compiles.
void find_window(Bench& bench, const std::string& key, std::int64_t beyond,
                 const std::vector<std::int64_t>& guesses,
                 const std::function<Program(std::int64_t)>& program,
                 std::int64_t counts_as_none = 0) {
    const auto accepts = [&](std::int64_t n) { return bench.compiles(program(n)); };
    if (!accepts(1) || accepts(beyond)) {
        bench.open(key, fmt::format("windows of 1 do not compile, or of {} do", beyond));
        return;
    }
    const std::int64_t most = largest(1, beyond, guesses, accepts);
    const std::string seen = fmt::format("windows of {} compile, of {} not", most, most + 1);
    bench.found(key, most == counts_as_none ? 0 : most, seen);
}

Program convolution(std::string_view op, std::int64_t height, std::int64_t width, int stride) {
    constexpr std::int64_t side = 64;
    return {{{"x", {1, 2, side, side}, DType::fp16, {}, 0}},
            fmt::format("tensor<fp16, [1, 2, {}, 64]> y = {}(x = x, weight = w, strides = "
                        "tensor<int32, [2]>([{}, 1]), pad_type = string(\"same\"), pad = "
                        "tensor<int32, [4]>([0, 0, 0, 0]), dilations = tensor<int32, [2]>([1, 1]), "
                        "groups = int32(1));",
                        side * stride, op, stride),
            {{"w", {2, 2, height, width}, DType::fp16, ramp(4 * height * width, 0.5, 0.0)}}};
}

Program pool(std::string_view op, std::int64_t window) {
    return {{{"x", {1, 2, 64, 64}, DType::fp16, {}, 0}},
            fmt::format("tensor<fp16, [1, 2, 64, 64]> y = {}(x = x, kernel_sizes = tensor<int32, "
                        "[2]>([{}, 1]), strides = tensor<int32, [2]>([1, 1]), pad_type = "
                        "string(\"same\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), ceil_mode = "
                        "bool(false){});",
                        op, window,
                        op == "avg_pool" ? ", exclude_padding_from_average = bool(false)" : "")};
}

void find_conv_channels(Bench& bench) {
    constexpr std::int64_t beyond = 32000;
    const auto accepts = [&](std::int64_t channels) {
        return bench.compiles(
            {{{"x", {1, channels, 1, row}, DType::fp16, {}, 0}},
             "tensor<fp16, [1, 1, 1, 32]> y = conv(x = x, weight = w, strides = tensor<int32, "
             "[2]>([1, 1]), pad_type = string(\"valid\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), "
             "dilations = tensor<int32, [2]>([1, 1]), groups = int32(1));",
             {{"w", {1, channels, 1, 1}, DType::fp16, ramp(channels, 0.5, 0.0)}}});
    };
    const std::string key = "limits.conv_input_channels";
    if (accepts(beyond)) {
        bench.found(key, std::int64_t{0}, fmt::format("{} input channels compile", beyond));
        return;
    }
    if (!accepts(row)) {
        bench.open(key, fmt::format("{} input channels do not compile", row));
        return;
    }
    const std::int64_t most = largest(row, beyond, {beyond - 1, 16384}, accepts);
    bench.found(key, most, fmt::format("{} input channels compile, {} do not", most, most + 1));
}

/// A layer_norm over `size` elements with gamma and, perhaps, beta, neither the same everywhere.
Program layer_norm(std::int64_t size, bool both) {
    return {{plane(1, size)},
            fmt::format("tensor<fp16, [1, 1, 1, {}]> y = layer_norm(x = x, axes = tensor<int32, "
                        "[1]>([3]), gamma = g{}, epsilon = fp16(0x1p-10));",
                        size, both ? ", beta = g" : ""),
            {{"g", {size}, DType::fp16, ramp(size, 1.0, 0.0009765625)}}};
}

}  // namespace

void probe_sizes(Bench& bench) {
    find_rank(bench);
    const std::int64_t width = find_width(bench);
    find_channels(bench);
    find_inner(bench, width);
    find_window(bench, "limits.conv_kernel_width", 33, {13, 15},
                [](std::int64_t n) { return convolution("conv", 1, n, 1); });
    find_window(bench, "limits.conv_kernel_height", 64, {29, 32},
                [](std::int64_t n) { return convolution("conv", n, 1, 1); });
    find_window(bench, "limits.strided_transpose_kernel", 24, {7, 8},
                [](std::int64_t n) { return convolution("conv_transpose", n, 1, 2); });
    find_window(bench, "limits.pool_window", 64, {29, 31},
                [](std::int64_t n) { return pool("avg_pool", n); });
    find_window(
        bench, "limits.max_pool_window", 64, {8, 29, 31},
        [](std::int64_t n) { return pool("max_pool", n); },
        bench.integer("limits.pool_window", -1));
    find_conv_channels(bench);
}

void probe_layer_norm(Bench& bench) {
    if (!bench.flag("capabilities.norms", false)) {
        for (const char* key :
             {"limits.layer_norm_one", "limits.layer_norm_one_passes", "limits.layer_norm_both"}) {
            bench.open(key, "layer_norm does not compile here");
        }
        return;
    }
    // The sizes that were tried on an M2 Pro (ANEForge issue 149), from where it begins.
    static constexpr std::array<std::int64_t, 12> tried{1024, 1536, 2048, 2560, 3072,  3584,
                                                        4096, 5120, 6144, 8192, 10240, 12288};
    std::vector<std::string> passes;
    std::int64_t first = 0;
    for (const std::int64_t size : tried) {
        if (bench.compiles(layer_norm(size, false))) {
            passes.push_back(std::to_string(size));
        } else if (first == 0) {
            first = size;
        }
    }
    const std::string seen =
        fmt::format("with gamma alone {} of 12 sizes from 1024 on compile", passes.size());
    if (first == 0) {
        bench.found("limits.layer_norm_one", std::int64_t{0}, seen);
        bench.found("limits.layer_norm_one_passes", std::vector<std::string>{}, seen);
    } else {
        const std::int64_t most = bench.compiles(layer_norm(row, false))
                                      ? largest(row, first, {first - 1},
                                                [&](std::int64_t size) {
                                                    return bench.compiles(layer_norm(size, false));
                                                })
                                      : 0;
        bench.found("limits.layer_norm_one", most + 1, seen);
        bench.found("limits.layer_norm_one_passes", passes,
                    seen + fmt::format(": {}", fmt::join(passes, " ")));
    }
    constexpr std::int64_t beyond = 16384;
    const auto runs = [&](std::int64_t size) {
        return is_done(bench.evaluate(layer_norm(size, true)));
    };
    if (runs(beyond)) {
        bench.found("limits.layer_norm_both", std::int64_t{0},
                    fmt::format("gamma and beta of {} elements run", beyond));
    } else if (runs(row)) {
        const std::int64_t most = largest(row, beyond, {10239}, runs);
        bench.found("limits.layer_norm_both", most + 1,
                    fmt::format("gamma and beta of {} elements run, of {} not", most, most + 1));
    } else {
        bench.open("limits.layer_norm_both", "layer_norm with gamma and beta does not run");
    }
}

}  // namespace pome::device::probe
