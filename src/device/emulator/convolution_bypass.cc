// 1 x 1 convolutions of one input channel: the engine passes them by its multiply-accumulate array,
// so each output channel is an elementwise product (and a sum, with a bias) in fp16.
#include "device/emulator/convolution.h"
#include "kernels/elementwise.h"

namespace pome::device::emulator {
namespace {

class BypassStep final : public Step {
  public:
    BypassStep(const ConvForm& form, int x, int weight, int result, const std::vector<float>& bias)
        : f_(form), x_(x), weight_(weight), result_(result) {
        for (const float value : bias) {
            bias_.push_back(to_fp16(value, Rounding::nearest_even));
        }
    }

    void run(Run& run) const override {
        using kernels::Binary;
        const fp16* x = run.slots[static_cast<std::size_t>(x_)];
        const fp16* weight = run.slots[static_cast<std::size_t>(weight_)];
        fp16* result = run.slots[static_cast<std::size_t>(result_)];
        const auto& rules = run.numerics.elementwise;
        const std::int64_t positions = f_.out_height * f_.out_width;
        run.pool.for_ranges(
            f_.batch * f_.outputs, 1, [&](std::int64_t begin, std::int64_t end, int) {
                for (std::int64_t plane = begin; plane < end; ++plane) {
                    const std::int64_t output = plane % f_.outputs;
                    fp16* y = result + plane * positions;
                    kernels::binary(Binary::mul, x + plane / f_.outputs * positions, false,
                                    weight + output, true, y, positions, rules);
                    if (!bias_.empty()) {
                        kernels::binary(Binary::add, y, false,
                                        bias_.data() + static_cast<std::size_t>(output), true, y,
                                        positions, rules);
                    }
                }
            });
    }

  private:
    ConvForm f_;
    int x_, weight_, result_;
    std::vector<fp16> bias_;
};

}  // namespace

void add_bypass(Plan& plan, const ConvForm& form, int x, int weight, int result,
                const std::vector<float>& bias) {
    plan.touch(x);
    plan.touch(weight);
    plan.touch(result);
    plan.add(std::make_unique<BypassStep>(form, x, weight, result, bias));
}

}  // namespace pome::device::emulator
