// A published training run of a two-layer network on an M4 Max, replayed digit for digit: 2,000
// steps of four 1x1 convolutions, plain SGD on the host, kernels one overlapped update stale,
// restarts every 480 steps. The losses printed by the original program are the expected values;
// nothing here was recorded from this code.

#include <gtest/gtest.h>

#include <cmath>

#include "device/emulator/emulator.h"
#include "mil/builder.h"

namespace pome::device::emulator {
namespace {

constexpr std::int64_t D = 64, H = 128, S = 16;

/// One 1x1 convolution with baked weights, fp32 in and out as the original has it.
class Kernel {
  public:
    Kernel(Device& device, const std::vector<float>& weight, std::int64_t out, std::int64_t in,
           bool transposed) {
        mil::Builder b;
        mil::Package package;
        std::vector<double> values(weight.size());
        for (std::int64_t o = 0; o < out; ++o) {
            for (std::int64_t i = 0; i < in; ++i) {
                values[static_cast<std::size_t>(o * in + i)] =
                    weight[static_cast<std::size_t>(transposed ? i * out + o : o * in + i)];
            }
        }
        const auto x = b.input("x", mil::Type::tensor(DType::fp32, {1, in, 1, S}));
        const auto w = b.constant(package.weights.store("@model_path/weights/w.bin", DType::fp16,
                                                        {out, in, 1, 1}, values),
                                  "W");
        b.output(b.rename(b.cast(b.conv(b.cast(x, DType::fp16), w, {}), DType::fp32), "y"));
        package.program = mil::make_program(b.take());
        executable_ = device.compile(package);
        input_ = Surface(executable_->inputs()[0].type);
        output_ = Surface(executable_->outputs()[0].type);
    }

    /// x and the result are [S][channels], as the host has them.
    std::vector<float> operator()(const std::vector<float>& x) {
        const auto in = static_cast<std::int64_t>(x.size()) / S, out = output_.elements() / S;
        for (std::int64_t t = 0; t < S; ++t) {
            for (std::int64_t i = 0; i < in; ++i) {
                input_.floats()[i * S + t] = x[static_cast<std::size_t>(t * in + i)];
            }
        }
        executable_->evaluate({{{"x", &input_}}, {{"y", &output_}}});
        std::vector<float> y(static_cast<std::size_t>(S * out));
        for (std::int64_t t = 0; t < S; ++t) {
            for (std::int64_t o = 0; o < out; ++o) {
                y[static_cast<std::size_t>(t * out + o)] = output_.floats()[o * S + t];
            }
        }
        return y;
    }

  private:
    std::unique_ptr<Executable> executable_;
    Surface input_, output_;
};

struct Weights {
    std::vector<float> w1, w2;
};

struct Kernels {
    Kernel forward1, forward2, backward2;
    Kernels(Device& device, const Weights& w)
        : forward1(device, w.w1, H, D, false),
          forward2(device, w.w2, D, H, false),
          backward2(device, w.w2, H, D, true) {}
};

struct Batch {
    float loss = 0.0F;
    Weights gradient;
};

/// Ten equal steps: the gradient of one, added ten times.
Batch run_batch(Kernels& kernels, const std::vector<float>& x) {
    const auto h = kernels.forward1(x);
    auto a = h;
    for (float& value : a) {
        value = std::max(value, 0.0F);
    }
    const auto y = kernels.forward2(a);
    Batch batch;
    std::vector<float> dy(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
        const float d = y[i] - x[i];
        batch.loss = std::fma(d, d, batch.loss);
        dy[i] = 2.0F * d / static_cast<float>(S * D);
    }
    batch.loss /= static_cast<float>(S * D);
    auto dh = kernels.backward2(dy);
    for (std::size_t i = 0; i < dh.size(); ++i) {
        dh[i] = h[i] > 0.0F ? dh[i] : 0.0F;
    }
    batch.gradient.w1.assign(H * D, 0.0F);
    batch.gradient.w2.assign(D * H, 0.0F);
    for (int step = 0; step < 10; ++step) {
        for (std::size_t t = 0; t < S; ++t) {
            for (std::size_t i = 0; i < D; ++i) {
                for (std::size_t j = 0; j < H; ++j) {
                    float& sum = batch.gradient.w2[i * H + j];
                    sum = std::fma(dy[t * D + i], a[t * H + j], sum);
                }
            }
        }
        for (std::size_t t = 0; t < S; ++t) {
            for (std::size_t i = 0; i < H; ++i) {
                for (std::size_t j = 0; j < D; ++j) {
                    float& sum = batch.gradient.w1[i * D + j];
                    sum = std::fma(dh[t * H + i], x[t * D + j], sum);
                }
            }
        }
    }
    return batch;
}

void update(Weights& w, const Weights& gradient, float factor) {
    const float rate = 1.0F;
    for (std::size_t i = 0; i < w.w1.size(); ++i) {
        w.w1[i] = std::fma(-(rate * gradient.w1[i]), factor, w.w1[i]);
    }
    for (std::size_t i = 0; i < w.w2.size(); ++i) {
        w.w2[i] = std::fma(-(rate * gradient.w2[i]), factor, w.w2[i]);
    }
}

TEST(GoldenTrace, ReplaysTheM4MaxRunDigitForDigit) {
    ThreadPool pool(1);
    const auto device = make_emulator("m4", {}, pool);
    Weights w{std::vector<float>(H * D), std::vector<float>(D * H)};
    for (std::size_t i = 0; i < w.w1.size(); ++i) {
        w.w1[i] = 0.01F * std::sin(std::fma(static_cast<float>(i), 1.3F, 0.7F));
    }
    for (std::size_t i = 0; i < w.w2.size(); ++i) {
        w.w2[i] = 0.01F * std::cos(std::fma(static_cast<float>(i), 0.9F, 1.1F));
    }
    std::vector<float> x(S * D);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = std::sin(static_cast<float>(i) * 0.1F);
    }

    // step -> loss as printed; negative steps are restart lines. The eight of the document and
    // others of the same replay.
    const std::map<int, const char*> expected{
        {0, "0.500921"},    {50, "0.500798"},   {200, "0.499994"},   {300, "0.499073"},
        {400, "0.360518"},  {450, "0.150306"},  {-480, "0.121289"},  {480, "0.140871"},
        {730, "0.087973"},  {780, "0.042563"},  {880, "0.003584"},   {930, "0.002238"},
        {-960, "0.001957"}, {960, "0.001754"},  {1410, "0.001511"},  {-1440, "0.001506"},
        {1840, "0.001435"}, {1890, "0.001430"}, {-1920, "0.001428"}, {1970, "0.001419"}};
    std::size_t seen = 0;
    const auto compare = [&](int step, float loss) {
        const auto found = expected.find(step);
        if (found == expected.end()) {
            return;
        }
        EXPECT_STREQ(fmt::format("{:.6f}", loss).c_str(), found->second) << "step " << step;
        ++seen;
    };
    for (int step = 0; step < 2000;) {
        Kernels kernels(*device, w);  // a fresh process compiles from its checkpoint
        float last = 0.0F;
        for (int iteration = 0; iteration < 24 && step < 2000; ++iteration) {
            const Batch main = run_batch(kernels, x);
            compare(step, main.loss);
            update(w, main.gradient, 1.0F / 10);
            last = main.loss;
            step += 10;
            if (step >= 2000) {
                break;
            }
            Kernels next(*device, w);  // compiled from the weights before the overlapped batch
            const Batch overlapped = run_batch(kernels, x);
            compare(step, overlapped.loss);
            update(w, overlapped.gradient, 0.5F / 10);
            last = overlapped.loss;
            step += 10;
            kernels = std::move(next);
        }
        compare(-step, last);
    }
    EXPECT_EQ(seen, expected.size());
}

}  // namespace
}  // namespace pome::device::emulator
