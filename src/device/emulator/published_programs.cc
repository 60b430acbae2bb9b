#include "device/emulator/published_programs.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "device/emulator/program_pieces.h"

namespace pome::device::emulator {
namespace {

using mil::Literal;
using mil::Type;
using mil::Value;

constexpr std::string_view here = "device.calibration";

/// A recipe's words.
class Words {
  public:
    Words(std::string_view recipe, const std::vector<std::int64_t>& sizes,
          const std::vector<std::string>& options)
        : recipe_(recipe), sizes_(sizes), options_(options) {}

    std::int64_t operator[](std::size_t index) const { return sizes_[index]; }
    void expect_sizes(std::size_t count) const {
        if (sizes_.size() != count ||
            std::any_of(sizes_.begin(), sizes_.end(), [](auto size) { return size < 0; })) {
            fail(Code::malformed_file, here, "recipe '{}' wants {} sizes, 0 or more each, not [{}]",
                 recipe_, count, fmt::join(sizes_, ", "));
        }
    }
    bool has(std::string_view option) const {
        return std::find(options_.begin(), options_.end(), option) != options_.end();
    }
    void expect_options(std::initializer_list<std::string_view> known) const {
        for (const auto& option : options_) {
            if (std::find(known.begin(), known.end(), option) == known.end()) {
                fail(Code::malformed_file, here, "recipe '{}' has no option '{}'; it has: {}",
                     recipe_, option, fmt::join(known, ", "));
            }
        }
    }
    const std::string& only_option() const {
        if (options_.size() != 1) {
            fail(Code::malformed_file, here, "recipe '{}' wants one option, not {}", recipe_,
                 options_.size());
        }
        return options_.front();
    }
    PipelineSizes pipeline() const {
        expect_sizes(8);
        return {sizes_[0], sizes_[1], sizes_[2], sizes_[3],
                sizes_[4], sizes_[5], sizes_[6], sizes_[7]};
    }

  private:
    std::string_view recipe_;
    const std::vector<std::int64_t>& sizes_;
    const std::vector<std::string>& options_;
};

PublishedWork one(std::string_view recipe, mil::Function function) {
    PublishedWork work;
    work.programs.push_back({std::string(recipe), std::move(function), 1});
    return work;
}

/// An fp16 constant that is kept as int8 with a scale a row.
Value int8_constant(ProgramPieces& p, const Shape& shape, std::int64_t place) {
    const std::string file = fmt::format("@model_path/weights/q{}.bin", place);
    const auto data = [&](DType dtype, const Shape& size, std::uint64_t offset) {
        return p.ops().constant(Literal::blob(Type::tensor(dtype, size), {file, offset}), "q");
    };
    return p.ops().call("constexpr_affine_dequantize",
                        {{"quantized_data", data(DType::int8, shape, 64)},
                         {"zero_point", p.ops().constant(Literal::tensor(DType::int8, {}, {0.0}))},
                         {"scale", data(DType::fp16, {shape[0]}, 128)},
                         {"axis", p.ops().integer(0)}});
}

/// x as the engine sees it when a tensor is kept in int8 between layers.
Value through_int8(ProgramPieces& p, const Value& x) {
    const Value scale = p.ops().number(DType::fp16, 0.05);
    const Value quantized = p.ops().call(
        "quantize", {{"input", x}, {"scale", scale}, {"output_dtype", p.ops().text("int8")}});
    return p.ops().call("dequantize", {{"input", quantized}, {"scale", scale}});
}

PublishedWork conv(const Words& w) {
    w.expect_sizes(7);
    w.expect_options({"relu", "int8", "shared", "stride2"});
    const std::int64_t batch = w[0], in = w[1], out = w[2], kernel = w[5], depth = w[6];
    ProgramPieces p;
    Value x = p.input("x", {batch, in, w[3], w[4]});
    for (std::int64_t layer = 0; layer < depth; ++layer) {
        const std::int64_t pad = kernel / 2;
        const Shape shape{out, x.shape()[1], kernel, kernel};
        if (w.has("int8")) {
            const Value weight = int8_constant(p, shape, layer);
            x = p.ops().conv(through_int8(p, x), weight, {.pad = {pad, pad, pad, pad}});
        } else if (w.has("stride2")) {
            x = p.ops().conv(x, p.constant(shape),
                             {.strides = {2, 2}, .pad = {pad, pad, pad, pad}});
        } else {
            x = p.conv(x, out, kernel, w.has("shared") ? "shared" : "");
        }
        if (w.has("relu")) {
            x = p.ops().unary("relu", x);
        }
    }
    return one("conv", p.finish(x));
}

PublishedWork matmul(const Words& w) {
    w.expect_sizes(3);
    w.expect_options({"int8", "live"});
    ProgramPieces p;
    const Value x = p.input("x", {w[0], w[1]});
    const Shape shape{w[2], w[1]};
    const Value weight = w.has("live")   ? p.input("w", shape)
                         : w.has("int8") ? int8_constant(p, shape, 0)
                                         : p.constant(shape);
    return one("matmul", p.finish(p.ops().matmul(x, weight, false, true)));
}

/// Row-wise ops as ANEForge lowers them.
Value row_op(ProgramPieces& p, const std::string& op, const Value& x) {
    mil::Builder& b = p.ops();
    const auto columns = x.shape()[1];
    const auto share = 1.0 / static_cast<double>(columns);
    if (op == "softmax") {
        return b.softmax(x, -1);
    }
    if (op == "l2_norm" || op == "rms_norm") {
        const Value norm =
            b.call("reduce_l2_norm",
                   {{"x", x}, {"axes", b.integers({-1})}, {"keep_dims", b.boolean(true)}});
        const Value y =
            b.real_div(x, b.call("maximum", {{"x", norm}, {"y", b.number(DType::fp16, 0.01)}}));
        return op == "l2_norm" ? y : b.mul(y, p.constant({1, columns}));
    }
    if (op == "layer_norm") {
        const auto mean = [&](const Value& v) {
            return b.scale(b.reduce_sum(v, {-1}, true), share);
        };
        const Value centred = b.sub(x, mean(x));
        const Value variance = mean(b.mul(centred, centred));
        const Value r = b.pow(b.add(variance, b.number(DType::fp16, 1e-5)), -0.5);
        return b.add(b.mul(b.mul(centred, r), p.constant({1, columns})), p.constant({1, columns}));
    }
    if (op == "gelu") {
        return b.call("gelu", {{"x", x}, {"mode", b.text("EXACT")}});
    }
    if (op != "relu" && op != "sigmoid") {
        fail(Code::malformed_file, here,
             "recipe 'unary' has no option '{}'; it has: relu, gelu, sigmoid, softmax, l2_norm, "
             "rms_norm, layer_norm",
             op);
    }
    return b.unary(op, x);
}

PublishedWork unary(const Words& w) {
    w.expect_sizes(2);
    ProgramPieces p;
    const Value x = p.input("x", {w[0], w[1]});
    return one("unary", p.finish(row_op(p, w.only_option(), x)));
}

PublishedWork pool(const Words& w) {
    w.expect_sizes(3);
    w.expect_options({"max", "avg"});
    ProgramPieces p;
    mil::Builder& b = p.ops();
    const Value x = p.input("x", {1, w[0], w[1], w[2]});
    const Value y = b.call(w.only_option() + "_pool", {{"x", x},
                                                       {"kernel_sizes", b.integers({2, 2})},
                                                       {"strides", b.integers({2, 2})},
                                                       {"pad_type", b.text("valid")},
                                                       {"pad", b.integers({0, 0, 0, 0})},
                                                       {"ceil_mode", b.boolean(false)}});
    return one("pool", p.finish(y));
}

PublishedWork group_norm(const Words& w) {
    w.expect_sizes(3);
    w.expect_options({});
    const std::int64_t channels = w[0], map = w[1], groups = w[2];
    ProgramPieces p;
    mil::Builder& b = p.ops();
    const Value input = p.input("x", {1, channels, map, map});
    const Value x = b.reshape(input, {1, groups, channels / groups, map * map});
    const double share = static_cast<double>(groups) / static_cast<double>(channels * map * map);
    const auto mean = [&](const Value& v) {
        return b.scale(b.reduce_sum(b.reduce_sum(v, {3}, true), {2}, true), share);
    };
    const Value centred = b.sub(x, mean(x));
    const Value variance = mean(b.mul(centred, centred));
    const Value r = b.pow(b.add(variance, b.number(DType::fp16, 1e-5)), -0.5);
    const Value y = b.reshape(b.mul(centred, r), {1, channels, map, map});
    const Shape affine{1, channels, 1, 1};
    return one("group_norm", p.finish(b.add(b.mul(y, p.constant(affine)), p.constant(affine))));
}

PublishedWork attention(const Words& w) {
    w.expect_sizes(3);
    w.expect_options({});
    const std::int64_t width = w[1], heads = w[2];
    ProgramPieces p;
    const Value x = p.input("x", {1, width, 1, w[0]});
    const auto project = [&](const Value& v) {
        return p.ops().add(p.conv(v, width), p.constant({1, width, 1, 1}));
    };
    const Value q = p.split_heads(project(x), heads), k = p.split_heads(project(x), heads),
                v = p.split_heads(project(x), heads);
    const Value scores = p.ops().scale(p.ops().matmul(q, k, false, true), 0.125);
    const Value y = p.ops().matmul(p.ops().softmax(scores, -1), v);
    return one("attention", p.finish(project(p.join_heads(y))));
}

PublishedWork add(const Words& w) {
    w.expect_sizes(2);
    w.expect_options({});
    ProgramPieces p;
    const Shape shape{1, w[0], 1, w[1]};
    const Value x = p.input("a", shape, DType::fp32), y = p.input("b", shape, DType::fp32);
    mil::Builder& b = p.ops();
    const Value sum = b.add(b.cast(x, DType::fp16), b.cast(y, DType::fp16));
    return one("add", p.finish(b.cast(sum, DType::fp32)));
}

PublishedWork jacobi(const Words& w) {
    w.expect_sizes(2);
    w.expect_options({});
    ProgramPieces p;
    mil::Builder& b = p.ops();
    Value x = p.input("x", {w[0], 1});
    const Value target = p.input("b", {w[0], 1});
    const Value matrix = p.constant({w[0], w[0]}, "r"), scale = p.constant({w[0], 1}, "d");
    for (std::int64_t i = 0; i < w[1]; ++i) {
        x = b.mul(b.sub(target, b.matmul(matrix, x)), scale);
    }
    return one("jacobi", p.finish(x));
}

PublishedWork forward(const Words& w) {
    w.expect_options({});
    PublishedWork work;
    work.programs = static_forward(w.pipeline());
    return work;
}

PublishedWork static_pipeline(const Words& w) {
    w.expect_options({"extras"});
    return static_step(w.pipeline(), w.has("extras"));
}

PublishedWork dynamic_pipeline(const Words& w) {
    w.expect_options({"inputs", "forward", "backward"});
    PublishedWork work = dynamic_step(w.pipeline(), !w.has("inputs"));
    // The first three programs are the forward pass.
    const auto forward_end = work.programs.begin() + 3;
    if (w.has("forward")) {
        work.programs.erase(forward_end, work.programs.end());
        work.host = {};
    } else if (w.has("backward")) {
        work.programs.erase(work.programs.begin(), forward_end);
        work.host = {};
    }
    return work;
}

/// tiny_train: four 1x1 convolutions of fp32 surfaces a step, weight gradients in plain loops.
PublishedWork tiny(const Words& w) {
    w.expect_sizes(3);
    w.expect_options({});
    const std::int64_t width = w[0], hidden = w[1], positions = w[2];
    PublishedWork work;
    const auto kernel = [&](std::int64_t in, std::int64_t out, std::int64_t count) {
        ProgramPieces p;
        mil::Builder& b = p.ops();
        const Value x = p.input("x", {1, in, 1, positions}, DType::fp32);
        const Value y = p.conv(b.cast(x, DType::fp16), out);
        work.programs.push_back({"conv", p.finish(b.cast(y, DType::fp32)), count});
    };
    kernel(width, hidden, 2);
    kernel(hidden, width, 2);
    const auto products = static_cast<double>(width * hidden * positions);
    // Two gradients, each a loop that reads two operands and updates one sum per product.
    work.host.bytes = 2.0 * products * 3.0 * 4.0;
    return work;
}

/// One step of an MLP with Adam, all of it one program; weights and moments stay with the engine
/// and pass through its surfaces.
PublishedWork resident(const Words& w) {
    w.expect_sizes(4);
    w.expect_options({});
    const std::int64_t batch = w[0], in = w[1], hidden = w[2], out = w[3];
    ProgramPieces p;
    mil::Builder& b = p.ops();
    const auto number = [&](double value) { return b.number(DType::fp16, value); };
    struct State {
        Value weight, mean, square;
    };
    const auto state = [&](const std::string& name, const Shape& shape) {
        return State{p.input(name, shape), p.input(name + "_m", shape),
                     p.input(name + "_v", shape)};
    };
    const Value x = p.input("x", {batch, in}), target = p.input("target", {batch, out});
    const State w1 = state("w1", {in, hidden}), b1 = state("b1", {1, hidden});
    const State w2 = state("w2", {hidden, out}), b2 = state("b2", {1, out});
    const Value h = b.unary("relu", b.add(b.matmul(x, w1.weight), b1.weight));
    const Value y = b.softmax(b.add(b.matmul(h, w2.weight), b2.weight), -1);
    const Value dy = b.scale(b.sub(y, target), 1.0 / static_cast<double>(batch));
    const Value dh = b.mul(b.matmul(dy, w2.weight, false, true), b.unary("sign", h));
    const auto update = [&](const State& s, const Value& g) {
        const Value m = b.add(b.scale(s.mean, 0.9), b.scale(g, 0.1));
        const Value v = b.add(b.scale(s.square, 0.999), b.scale(b.mul(g, g), 0.001));
        const Value step = b.real_div(m, b.add(b.unary("sqrt", v), number(1e-4)));
        for (const auto& [value, name] :
             {std::pair{b.sub(s.weight, b.scale(step, 1e-3)), s.weight.name + "_next"},
              std::pair{m, s.mean.name + "_next"}, std::pair{v, s.square.name + "_next"}}) {
            b.output(b.rename(value, name));
        }
    };
    update(w1, b.matmul(x, dh, true, false));
    update(b1, b.reduce_sum(dh, {0}, true));
    update(w2, b.matmul(h, dy, true, false));
    update(b2, b.reduce_sum(dy, {0}, true));
    return one("resident", b.take());
}

}  // namespace

PublishedWork published_work(std::string_view recipe, const std::vector<std::int64_t>& sizes,
                             const std::vector<std::string>& options) {
    using Maker = PublishedWork (*)(const Words&);
    static const std::map<std::string_view, Maker> makers{{"conv", conv},
                                                          {"matmul", matmul},
                                                          {"unary", unary},
                                                          {"pool", pool},
                                                          {"attention", attention},
                                                          {"add", add},
                                                          {"group_norm", group_norm},
                                                          {"jacobi", jacobi},
                                                          {"forward", forward},
                                                          {"static", static_pipeline},
                                                          {"dynamic", dynamic_pipeline},
                                                          {"resident", resident},
                                                          {"tiny", tiny}};
    const auto maker = makers.find(recipe);
    if (maker == makers.end()) {
        std::vector<std::string_view> known;
        for (const auto& [name, function] : makers) {
            known.push_back(name);
        }
        fail(Code::malformed_file, here, "there is no recipe '{}'; there are: {}", recipe,
             fmt::join(known, ", "));
    }
    return maker->second({recipe, sizes, options});
}

}  // namespace pome::device::emulator
