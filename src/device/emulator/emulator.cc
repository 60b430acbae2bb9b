#include "device/emulator/emulator.h"

#include <algorithm>

#include "device/emulator/plan.h"
#include "kernels/fast_paths.h"
#include "mil/passes/decompose.h"
#include "mil/passes/liveness.h"

namespace pome::device::emulator {
namespace {

class EmulatorExecutable final : public Executable {
  public:
    EmulatorExecutable(const mil::Package& package, const mil::Function& function,
                       const Profile& profile, Tables& tables, Counting counting, ThreadPool& pool)
        : Executable(function.parameters, output_types(function)),
          plan_(package,
                mil::passes::decompose(function, package.weights,
                                       {profile.capabilities.attention_mask}),
                profile, tables, counting),
          live_bytes_(mil::passes::live_bytes(function)),
          pool_(pool) {}

    Arithmetic arithmetic() const override {
        return {statistics_.saturated, statistics_.slow_blocks};
    }
    std::vector<OperationCounts> operation_counts() const override { return plan_.counts(); }
    MemoryUse memory() const override { return {plan_.bytes() + scratch_.bytes(), live_bytes_}; }

  private:
    void run(const Bindings& bindings) override {
        plan_.evaluate(bindings, pool_, scratch_, statistics_);
    }

    Plan plan_;
    std::int64_t live_bytes_;
    ThreadPool& pool_;
    kernels::MatmulScratch scratch_;
    kernels::MatmulStatistics statistics_;
};

class Emulator final : public Device {
  public:
    Emulator(const Profile& profile, const Options& options, ThreadPool& pool)
        : Device(options.process),
          profile_(profile),
          mode_(options.mode),
          strictness_(options.strictness),
          counting_(options.counting),
          pool_(pool) {
        if (mode_ == Mode::fast) {
            profile_.numerics = fast_numerics();
        }
        if (options.numerics) {
            profile_.numerics = *options.numerics;
        }
    }
    std::string name() const override { return "emulator:" + profile_.name; }
    const Profile& profile() const override { return profile_; }
    Strictness strictness() const override { return strictness_; }

  private:
    std::unique_ptr<Executable> build(const mil::Package& package,
                                      std::string_view function) override {
        return std::make_unique<EmulatorExecutable>(
            package, *package.program.find_function(function), profile_, tables_, counting_, pool_);
    }

    Profile profile_;
    Mode mode_;
    Strictness strictness_;
    Counting counting_;
    ThreadPool& pool_;
    Tables tables_;
};

}  // namespace

std::unique_ptr<Device> make_emulator(std::string_view profile, const Options& options,
                                      ThreadPool& pool) {
    return make_emulator(find_profile(profile), options, pool);
}

std::unique_ptr<Device> make_emulator(const Profile& profile, const Options& options,
                                      ThreadPool& pool) {
    kernels::fast_paths();  // before the first kernel runs
    return std::make_unique<Emulator>(profile, options, pool);
}

Numerics fast_numerics() {
    Numerics numerics;
    numerics.multiply_accumulate.fixed_point = false;
    numerics.multiply_accumulate.output = Rounding::nearest_even;
    numerics.convolution.single_channel_bypass = false;
    numerics.elementwise.output = Rounding::nearest_even;
    numerics.elementwise.coerce_nan = false;
    numerics.tables.enabled = false;
    numerics.reduction.narrow = false;
    numerics.reduction.output = Rounding::nearest_even;
    numerics.softmax.narrow = false;
    return numerics;
}

std::vector<std::string_view> supported_ops() {
    std::vector<std::string_view> ops{"const"};
    for (const mil::Schema* schema : mil::schemas()) {
        if (makers().contains(schema->name) || mil::passes::decomposition_of(schema->name)) {
            ops.push_back(schema->name);
        }
    }
    std::sort(ops.begin(), ops.end());
    return ops;
}

}  // namespace pome::device::emulator
