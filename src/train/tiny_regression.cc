#include "train/tiny_regression.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "mil/builder.h"
#include "train/config_reader.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.tiny";
constexpr std::int64_t kernels_per_group = 4;
constexpr float good_enough = 1e-6F;

using device::Surface;

/// A 1x1 convolution with baked weights, fp32 in and out.
class Kernel {
  public:
    /// `weight` is [out][in], or [in][out] when transposed.
    Kernel(device::Device& device, const std::vector<float>& weight, std::int64_t out,
           std::int64_t in, std::int64_t positions, bool transposed) {
        std::vector<double> values(weight.size());
        for (std::int64_t o = 0; o < out; ++o) {
            for (std::int64_t i = 0; i < in; ++i) {
                values[static_cast<std::size_t>(o * in + i)] = static_cast<double>(
                    weight[static_cast<std::size_t>(transposed ? i * out + o : o * in + i)]);
            }
        }
        mil::Builder b;
        mil::Package package;
        const auto x = b.input("x", mil::Type::tensor(DType::fp32, {1, in, 1, positions}));
        const auto w = b.constant(package.weights.store("@model_path/weights/weight.bin",
                                                        DType::fp16, {out, in, 1, 1}, values),
                                  "W");
        b.output(b.rename(b.cast(b.conv(b.cast(x, DType::fp16), w, {}), DType::fp32), "y"));
        package.program = mil::make_program(b.take());
        executable_ = device.compile(package);
        input_ = Surface(executable_->inputs()[0].type);
        output_ = Surface(executable_->outputs()[0].type);
    }

    /// x and the result are [positions][channels], as the host has them.
    std::vector<float> operator()(const std::vector<float>& x, std::int64_t positions) {
        const auto in = static_cast<std::int64_t>(x.size()) / positions,
                   out = output_.elements() / positions;
        for (std::int64_t t = 0; t < positions; ++t) {
            for (std::int64_t i = 0; i < in; ++i) {
                input_.floats()[i * positions + t] = x[static_cast<std::size_t>(t * in + i)];
            }
        }
        executable_->evaluate({{{"x", &input_}}, {{"y", &output_}}});
        std::vector<float> y(static_cast<std::size_t>(positions * out));
        for (std::int64_t t = 0; t < positions; ++t) {
            for (std::int64_t o = 0; o < out; ++o) {
                y[static_cast<std::size_t>(t * out + o)] = output_.floats()[o * positions + t];
            }
        }
        return y;
    }

  private:
    std::unique_ptr<device::Executable> executable_;
    Surface input_, output_;
};

struct Weights {
    std::vector<float> w1, w2;  ///< [hidden][width], [width][hidden]
};

/// Compiled from one snapshot of the weights. The original's fourth kernel computes the gradient of
/// x and throws it away; it is compiled and evaluated too, because a device counts both.
struct Kernels {
    Kernel forward1, forward2, backward2, backward1;
    Kernels(device::Device& device, const Weights& w, const TinyConfig& c)
        : forward1(device, w.w1, c.hidden, c.width, c.positions, false),
          forward2(device, w.w2, c.width, c.hidden, c.positions, false),
          backward2(device, w.w2, c.hidden, c.width, c.positions, true),
          backward1(device, w.w1, c.width, c.hidden, c.positions, true) {}
};

struct Batch {
    float loss = 0.0F;
    Weights gradient;
};

/// gradient[i][j] += sum over positions of left[t][i] * right[t][j], fused and in order, `times`.
void add_products(std::vector<float>& gradient, const std::vector<float>& left,
                  const std::vector<float>& right, std::int64_t positions, std::int64_t times) {
    const std::size_t s = static_cast<std::size_t>(positions), rows = left.size() / s,
                      columns = right.size() / s;
    for (std::int64_t step = 0; step < times; ++step) {
        for (std::size_t t = 0; t < s; ++t) {
            for (std::size_t i = 0; i < rows; ++i) {
                const float factor = left[t * rows + i];
                for (std::size_t j = 0; j < columns; ++j) {
                    float& sum = gradient[i * columns + j];
                    sum = std::fma(factor, right[t * columns + j], sum);
                }
            }
        }
    }
}

/// The steps of a batch are equal: one gradient, added `accumulation` times.
Batch run_batch(Kernels& kernels, const std::vector<float>& x, const TinyConfig& c) {
    const auto count = static_cast<float>(c.positions * c.width);
    const auto h = kernels.forward1(x, c.positions);
    auto a = h;
    for (float& value : a) {
        value = std::max(value, 0.0F);
    }
    const auto y = kernels.forward2(a, c.positions);
    Batch batch;
    std::vector<float> dy(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
        const float d = y[i] - x[i];
        batch.loss = std::fma(d, d, batch.loss);
        dy[i] = 2.0F * d / count;
    }
    batch.loss /= count;
    auto dh = kernels.backward2(dy, c.positions);
    for (std::size_t i = 0; i < dh.size(); ++i) {
        dh[i] = h[i] > 0.0F ? dh[i] : 0.0F;
    }
    kernels.backward1(dh, c.positions);
    const auto size = static_cast<std::size_t>(c.width * c.hidden);
    batch.gradient = {std::vector<float>(size), std::vector<float>(size)};
    add_products(batch.gradient.w2, dy, a, c.positions, c.accumulation);
    add_products(batch.gradient.w1, dh, x, c.positions, c.accumulation);
    return batch;
}

void update(Weights& w, const Weights& gradient, float rate, float factor) {
    const auto apply = [&](std::vector<float>& values, const std::vector<float>& g) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = std::fma(-(rate * g[i]), factor, values[i]);
        }
    };
    apply(w.w1, gradient.w1);
    apply(w.w2, gradient.w2);
}

Weights initial_weights(const TinyConfig& c) {
    const auto size = static_cast<std::size_t>(c.width * c.hidden);
    Weights w{std::vector<float>(size), std::vector<float>(size)};
    for (std::size_t i = 0; i < size; ++i) {
        const auto at = static_cast<float>(i);
        w.w1[i] = 0.01F * std::sin(std::fma(at, 1.3F, 0.7F));
        w.w2[i] = 0.01F * std::cos(std::fma(at, 0.9F, 1.1F));
    }
    return w;
}

}  // namespace

void TinyConfig::check() const {
    const auto in_range = [](std::string_view key, std::int64_t value, std::int64_t least,
                             std::int64_t most) {
        if (value < least || value > most) {
            fail(Code::invalid_argument, here, "{} is {}, it must be from {} to {}", key, value,
                 least, most);
        }
    };
    in_range("tiny.width", width, 1, 4096);
    in_range("tiny.hidden", hidden, 1, 4096);
    in_range("tiny.positions", positions, 1, 4096);
    in_range("tiny.steps", steps, 1, 1000000);
    in_range("tiny.accumulation", accumulation, 1, 1000);
    in_range("tiny.compile_budget", compile_budget, 2 * kernels_per_group, 1000000);
    if (!(learning_rate > 0.0) || !(learning_rate <= 1000.0)) {
        fail(Code::invalid_argument, here,
             "tiny.learning_rate is {}, it must be above 0 and at most 1000", learning_rate);
    }
}

bool is_tiny_config(std::string_view text) {
    try {
        return toml::parse(text).contains("tiny");
    } catch (const toml::parse_error&) {
        return false;  // whoever reads it in full says where it is broken
    }
}

TinyConfig parse_tiny_config(std::string_view text, std::string_view source,
                             const std::vector<std::string>& settings) {
    const toml::table table = parse_settings(text, source, settings);
    TinyConfig config;
    ConfigReader reader(table, source);
    reader.read("tiny.width", config.width);
    reader.read("tiny.hidden", config.hidden);
    reader.read("tiny.positions", config.positions);
    reader.read("tiny.steps", config.steps);
    reader.read("tiny.accumulation", config.accumulation);
    reader.read("tiny.compile_budget", config.compile_budget);
    reader.read("tiny.learning_rate", config.learning_rate);
    reader.read("engine.device", config.device);
    reader.read("engine.numerics", config.numerics);
    reader.expect_all_known();
    config.check();
    return config;
}

void run_tiny(const TinyConfig& c, const std::function<std::unique_ptr<device::Device>()>& open,
              const std::function<void(const TinyReport&)>& report) {
    c.check();
    using Kind = TinyReport::Kind;
    const auto rate = static_cast<float>(c.learning_rate);
    const auto full = 1.0F / static_cast<float>(c.accumulation),
               half = 0.5F / static_cast<float>(c.accumulation);
    std::vector<float> x(static_cast<std::size_t>(c.positions * c.width));
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = std::sin(static_cast<float>(i) * 0.1F);
    }
    Weights w = initial_weights(c);
    std::int64_t step = 0;
    float loss = 1.0F;
    while (step < c.steps && loss >= good_enough) {
        // A process of the original: kernels from its checkpoint, then batches until its compiles
        // are used up.
        const auto device = open();
        std::int64_t compiles = kernels_per_group, batches = 0;
        Kernels kernels(*device, w, c);
        const auto one_batch = [&](Kind kind) {
            const Batch batch = run_batch(kernels, x, c);
            update(w, batch.gradient, rate, kind == Kind::main ? full : half);
            ++batches;
            const bool printed =
                batches % 5 == 1 ||
                (kind == Kind::main && (batches <= 2 || step + c.accumulation >= c.steps));
            report({kind, step, batch.loss, compiles, printed});
            loss = batch.loss;
            step += c.accumulation;
        };
        while (step < c.steps && loss >= good_enough) {
            one_batch(Kind::main);
            if (step >= c.steps || compiles + kernels_per_group > c.compile_budget) {
                break;
            }
            Kernels next(*device, w, c);  // of the weights before the overlapped batch
            one_batch(Kind::overlapped);
            compiles += kernels_per_group;
            kernels = std::move(next);
            if (compiles + kernels_per_group > c.compile_budget) {
                break;
            }
        }
        const bool goes_on = step < c.steps && loss >= good_enough;
        report({goes_on ? Kind::restart : Kind::finished, step, loss, compiles, true});
    }
}

}  // namespace pome::train
