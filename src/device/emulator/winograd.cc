// 3 x 3 convolutions of stride 1 on the M5 and M6. Both outputs of a pair are plain sums of
// products of transformed values, so each is a matrix product of its own: y0 = [u0 u1 u2] [v0; v1;
// v2] and y1 = [u1 u2 u3] [v1; -v2; -v3]. Signs change nothing in the engine's symmetric roundings.
#include <algorithm>
#include <array>

#include "device/emulator/convolution.h"
#include "reference/chip/winograd.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

fp16 negated(fp16 value) {
    return {static_cast<std::uint16_t>(value.bits ^ 0x8000U)};
}

/// weight [outputs][channels * 3 rows][3] -> even, odd [outputs][channels * 3 rows * 3].
class WeightsStep final : public Step {
  public:
    WeightsStep(const ConvForm& form, int weight, int even, int odd)
        : rows_(form.outputs * form.channels * 3), weight_(weight), even_(even), odd_(odd) {}

    void run(Run& run) const override {
        const fp16* weight = run.slots[static_cast<std::size_t>(weight_)];
        fp16* even = run.slots[static_cast<std::size_t>(even_)];
        fp16* odd = run.slots[static_cast<std::size_t>(odd_)];
        run.pool.for_ranges(rows_, 4096, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t i = begin; i < end; ++i) {
                const fp16* g = weight + 3 * i;
                const auto u = chip::winograd_weights({g[0], g[1], g[2]});
                std::copy(u.begin(), u.begin() + 3, even + 3 * i);
                std::copy(u.begin() + 1, u.end(), odd + 3 * i);
            }
        });
    }

  private:
    std::int64_t rows_;
    int weight_, even_, odd_;
};

/// x -> even, odd [batch][channel, kernel row, 3][output row, pair].
class InputsStep final : public Step {
  public:
    InputsStep(const ConvForm& form, int x, int even, int odd)
        : f_(form), x_(x), even_(even), odd_(odd) {}

    void run(Run& run) const override {
        const fp16* x = run.slots[static_cast<std::size_t>(x_)];
        fp16* even = run.slots[static_cast<std::size_t>(even_)];
        fp16* odd = run.slots[static_cast<std::size_t>(odd_)];
        run.pool.for_ranges(
            f_.batch * f_.channels, 1, [&](std::int64_t begin, std::int64_t end, int) {
                for (std::int64_t plane = begin; plane < end; ++plane) {
                    fill(x + plane * f_.height * f_.width, even + plane * 9 * positions(),
                         odd + plane * 9 * positions());
                }
            });
    }

  private:
    std::int64_t pairs() const { return (f_.out_width + 1) / 2; }
    std::int64_t positions() const { return f_.out_height * pairs(); }

    void fill(const fp16* plane, fp16* even, fp16* odd) const {
        for (std::int64_t kernel_row = 0; kernel_row < 3; ++kernel_row) {
            for (std::int64_t row = 0; row < f_.out_height; ++row) {
                const std::int64_t from = row + kernel_row - f_.pad_top;
                const bool inside = from >= 0 && from < f_.height;
                for (std::int64_t pair = 0; pair < pairs(); ++pair) {
                    std::array<fp16, 4> d{};
                    for (std::int64_t i = 0; inside && i < 4; ++i) {
                        const std::int64_t column = 2 * pair + i - f_.pad_left;
                        if (column >= 0 && column < f_.width) {
                            d[static_cast<std::size_t>(i)] = plane[from * f_.width + column];
                        }
                    }
                    const auto v = chip::winograd_inputs(d);
                    const std::int64_t at = row * pairs() + pair;
                    const std::int64_t first = 3 * kernel_row * positions() + at;
                    even[first] = v[0];
                    even[first + positions()] = v[1];
                    even[first + 2 * positions()] = v[2];
                    odd[first] = v[1];
                    odd[first + positions()] = negated(v[2]);
                    odd[first + 2 * positions()] = negated(v[3]);
                }
            }
        }
    }

    ConvForm f_;
    int x_, even_, odd_;
};

/// Two products into columns 0, 2, ... and 1, 3, ... of the result.
class PairsStep final : public Step {
  public:
    PairsStep(const ConvForm& form, std::array<int, 2> weights, std::array<int, 2> inputs,
              int halves, int result, std::vector<float> bias)
        : f_(form),
          weights_(weights),
          inputs_(inputs),
          halves_(halves),
          result_(result),
          bias_(std::move(bias)) {}

    void run(Run& run) const override {
        const std::int64_t pairs = (f_.out_width + 1) / 2, positions = f_.out_height * pairs;
        const std::int64_t taps = f_.channels * 9, image = f_.outputs * positions;
        fp16* halves = run.slots[static_cast<std::size_t>(halves_)];
        std::vector<kernels::MatmulJob> jobs;
        for (std::size_t side = 0; side < 2; ++side) {
            const fp16* weights = run.slots[static_cast<std::size_t>(weights_[side])];
            const fp16* inputs = run.slots[static_cast<std::size_t>(inputs_[side])];
            for (std::int64_t n = 0; n < f_.batch; ++n) {
                kernels::MatmulJob job{};
                job.a = {weights, f_.outputs, taps, taps, 1};
                job.b = {inputs + n * taps * positions, taps, positions, positions, 1};
                job.y = halves + (static_cast<std::int64_t>(side) * f_.batch + n) * image;
                job.y_row_stride = positions;
                job.bias = bias_.empty() ? nullptr : bias_.data();
                jobs.push_back(job);
            }
        }
        multiply(jobs, run);
        fp16* result = run.slots[static_cast<std::size_t>(result_)];
        const std::int64_t rows = f_.batch * f_.outputs * f_.out_height;
        run.pool.for_ranges(rows, 64, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t row = begin; row < end; ++row) {
                const fp16* even = halves + row * pairs;
                const fp16* odd = even + f_.batch * image;
                fp16* out = result + row * f_.out_width;
                for (std::int64_t i = 0; i < f_.out_width; ++i) {
                    out[i] = i % 2 == 0 ? even[i / 2] : odd[i / 2];
                }
            }
        });
    }

  private:
    ConvForm f_;
    std::array<int, 2> weights_, inputs_;
    int halves_, result_;
    std::vector<float> bias_;
};

}  // namespace

void add_winograd(Plan& plan, const ConvForm& form, int x, int weight, int result,
                  std::vector<float> bias) {
    const std::int64_t taps = form.channels * 9;
    const std::int64_t positions = form.out_height * ((form.out_width + 1) / 2);
    std::array<int, 2> weights{}, inputs{};
    for (std::size_t side = 0; side < 2; ++side) {
        weights[side] = plan.scratch(form.outputs * taps);
    }
    plan.touch(weight);
    plan.add(std::make_unique<WeightsStep>(form, weight, weights[0], weights[1]));
    for (std::size_t side = 0; side < 2; ++side) {
        inputs[side] = plan.scratch(form.batch * taps * positions);
    }
    plan.touch(x);
    plan.add(std::make_unique<InputsStep>(form, x, inputs[0], inputs[1]));
    const int halves = plan.scratch(2 * form.batch * form.outputs * positions);
    for (const int slot : {weights[0], weights[1], inputs[0], inputs[1], result}) {
        plan.touch(slot);
    }
    plan.add(std::make_unique<PairsStep>(form, weights, inputs, halves, result, std::move(bias)));
}

}  // namespace pome::device::emulator
