#include "train/tiny_regression.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "mil/builder.h"
#include "train/compile_budget.h"
#include "train/compile_queue.h"
#include "train/config_reader.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.tiny";
constexpr std::int64_t kernels_per_group = 4;
constexpr float good_enough = 1e-6F;

using device::Surface;

struct Weights {
    std::vector<float> w1, w2;  ///< [hidden][width], [width][hidden]
};

/// A 1x1 convolution with baked weights, fp32 in and out. Takes a copy of the weights when it is
/// made; it is compiled in the background and waited for when it is first used.
class Kernel {
  public:
    struct Form {
        std::int64_t out, in, positions;
        bool transposed = false;  ///< the weight is [in][out] instead of [out][in]
    };
    Kernel(CompileQueue& queue, std::string name, const std::vector<float>& weight, Form form)
        : input_(surface(form.in, form.positions)), output_(surface(form.out, form.positions)) {
        std::vector<double> values(weight.size());
        for (std::int64_t o = 0; o < form.out; ++o) {
            for (std::int64_t i = 0; i < form.in; ++i) {
                values[static_cast<std::size_t>(o * form.in + i)] =
                    static_cast<double>(weight[static_cast<std::size_t>(
                        form.transposed ? i * form.out + o : o * form.in + i)]);
            }
        }
        mil::Builder b;
        mil::Package package;
        const auto x = b.input("x", input_.type());
        const auto w =
            b.constant(package.weights.store("@model_path/weights/weight.bin", DType::fp16,
                                             {form.out, form.in, 1, 1}, values),
                       "W");
        b.output(b.rename(b.cast(b.conv(b.cast(x, DType::fp16), w, {}), DType::fp32), "y"));
        package.program = mil::make_program(b.take());
        program_ = queue.add(std::move(name), [package = std::move(package)] { return package; });
    }

    void wait() const { program_.wait(); }

    /// x and the result are [positions][channels], as the host has them.
    std::vector<float> operator()(const std::vector<float>& x, std::int64_t positions) {
        const auto in = static_cast<std::int64_t>(x.size()) / positions,
                   out = output_.elements() / positions;
        for (std::int64_t t = 0; t < positions; ++t) {
            for (std::int64_t i = 0; i < in; ++i) {
                input_.floats()[i * positions + t] = x[static_cast<std::size_t>(t * in + i)];
            }
        }
        program_.get()->evaluate({{{"x", &input_}}, {{"y", &output_}}});
        std::vector<float> y(static_cast<std::size_t>(positions * out));
        for (std::int64_t t = 0; t < positions; ++t) {
            for (std::int64_t o = 0; o < out; ++o) {
                y[static_cast<std::size_t>(t * out + o)] = output_.floats()[o * positions + t];
            }
        }
        return y;
    }

  private:
    static Surface surface(std::int64_t channels, std::int64_t positions) {
        return Surface(mil::Type::tensor(DType::fp32, {1, channels, 1, positions}));
    }

    CompileQueue::Program program_;
    Surface input_, output_;
};

/// Compiled from one snapshot of the weights. The original's fourth kernel computes the gradient of
/// x and throws it away; it is compiled and evaluated too, because a device counts both.
struct Kernels {
    Kernel forward1, forward2, backward2, backward1;
    Kernels(CompileQueue& queue, const Weights& w, const TinyConfig& c)
        : forward1(queue, "W1 forward", w.w1, {c.hidden, c.width, c.positions}),
          forward2(queue, "W2 forward", w.w2, {c.width, c.hidden, c.positions}),
          backward2(queue, "W2 backward", w.w2, {c.hidden, c.width, c.positions, true}),
          backward1(queue, "W1 backward", w.w1, {c.width, c.hidden, c.positions, true}) {}
    void wait() const {
        for (const Kernel* kernel : {&forward1, &forward2, &backward2, &backward1}) {
            kernel->wait();
        }
    }
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

void check_sizes(const formats::TinyCheckpoint& checkpoint, const TinyConfig& c) {
    const auto compare = [](std::string_view key, std::int64_t there, std::int64_t here_value) {
        if (there != here_value) {
            fail(Code::checkpoint_mismatch, here,
                 "the checkpoint's {} is {}, the config has tiny.{} = {}", key, there, key,
                 here_value);
        }
    };
    compare("width", checkpoint.width, c.width);
    compare("hidden", checkpoint.hidden, c.hidden);
    compare("positions", checkpoint.positions, c.positions);
}

}  // namespace

void TinyConfig::check() const {
    const auto in_range = [](std::string_view key, std::int64_t value, std::int64_t least,
                             std::int64_t most) { expect_in_range(here, key, value, least, most); };
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

std::string TinyConfig::text() const {
    const toml::table whole{{"tiny", toml::table{{"width", width},
                                                 {"hidden", hidden},
                                                 {"positions", positions},
                                                 {"steps", steps},
                                                 {"accumulation", accumulation},
                                                 {"compile_budget", compile_budget},
                                                 {"learning_rate", learning_rate}}},
                            {"engine", toml::table{{"device", device}, {"numerics", numerics}}}};
    std::ostringstream out;
    out << toml::toml_formatter(whole) << "\n";
    return out.str();
}

formats::TinyCheckpoint begin_tiny(const TinyConfig& c) {
    c.check();
    formats::TinyCheckpoint first;
    first.loss = 1.0F;
    first.width = c.width;
    first.hidden = c.hidden;
    first.positions = c.positions;
    first.total_steps = c.steps;
    first.learning_rate = static_cast<float>(c.learning_rate);
    const auto size = static_cast<std::size_t>(c.width * c.hidden);
    first.w1.resize(size);
    first.w2.resize(size);
    for (std::size_t i = 0; i < size; ++i) {
        const auto at = static_cast<float>(i);
        first.w1[i] = 0.01F * std::sin(std::fma(at, 1.3F, 0.7F));
        first.w2[i] = 0.01F * std::cos(std::fma(at, 0.9F, 1.1F));
    }
    return first;
}

bool run_tiny(const TinyConfig& c, formats::TinyCheckpoint& checkpoint, device::Device& device,
              const std::function<void(const TinyReport&)>& report) {
    c.check();
    check_sizes(checkpoint, c);
    using Kind = TinyReport::Kind;
    const auto rate = static_cast<float>(c.learning_rate);
    const auto full = 1.0F / static_cast<float>(c.accumulation),
               half = 0.5F / static_cast<float>(c.accumulation);
    std::vector<float> x(static_cast<std::size_t>(c.positions * c.width));
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = std::sin(static_cast<float>(i) * 0.1F);
    }
    Weights w{checkpoint.w1, checkpoint.w2};
    std::int64_t& step = checkpoint.step;
    const auto goes_on = [&] { return step < c.steps && checkpoint.loss >= good_enough; };
    if (goes_on()) {
        Timeline timeline;
        CompileQueue queue(device, {}, timeline);
        Kernels kernels(queue, w, c);
        kernels.wait();
        std::int64_t batches = 0, compiles = device.compiles();
        const auto one_batch = [&](Kind kind) {
            const Batch batch = run_batch(kernels, x, c);
            update(w, batch.gradient, rate, kind == Kind::main ? full : half);
            ++batches;
            const bool printed =
                batches % 5 == 1 ||
                (kind == Kind::main && (batches <= 2 || step + c.accumulation >= c.steps));
            report({kind, step, batch.loss, compiles, printed});
            checkpoint.loss = batch.loss;
            step += c.accumulation;
        };
        while (goes_on() && next_phase(Phase::running, {compiles, c.compile_budget},
                                       kernels_per_group) == Phase::running) {
            one_batch(Kind::main);
            if (step >= c.steps) {
                break;
            }
            Kernels next(queue, w, c);  // of the weights before the overlapped batch
            one_batch(Kind::overlapped);
            next.wait();
            compiles = device.compiles();
            kernels = std::move(next);
        }
    }
    checkpoint.w1 = std::move(w.w1);
    checkpoint.w2 = std::move(w.w2);
    report({goes_on() ? Kind::restart : Kind::finished, step, checkpoint.loss, device.compiles(),
            true});
    return !goes_on();
}

}  // namespace pome::train
