// What a program takes on the emulator, against what its values need.
#include <gtest/gtest.h>

#include "device/emulator/emulator.h"
#include "mil/autodiff/autodiff.h"
#include "mil/passes/bake_weights.h"
#include "model/stage.h"

namespace pome::device {
namespace {

/// Times their live values: what is above them is packed operands of products
/// (docs/performance.md).
constexpr double most = 1.2;

void expect_lean(const mil::Function& function, const mil::WeightFiles& files,
                 const std::string& name) {
    SCOPED_TRACE(name);
    ThreadPool pool(2);
    const auto device = emulator::make_emulator("m4/e5rt", {}, pool);
    const auto executable = device->compile({mil::make_program(function), files});
    std::map<std::string, Surface> surfaces;
    Bindings bindings;
    for (const auto& input : executable->inputs()) {
        bindings.inputs[input.name] = &(surfaces[input.name] = Surface(input.type));
    }
    for (const auto& output : executable->outputs()) {
        bindings.outputs[output.name] = &(surfaces["out " + output.name] = Surface(output.type));
    }
    executable->evaluate(bindings);
    const MemoryUse memory = executable->memory();
    EXPECT_GT(memory.live_bytes, 0);
    EXPECT_LE(static_cast<double>(memory.peak_bytes), most * static_cast<double>(memory.live_bytes))
        << memory.peak_bytes << " bytes for " << memory.live_bytes;
}

void expect_lean(const model::Stage& stage) {
    mil::autodiff::Options options{{"x"}, {stage.weights.begin(), stage.weights.end()}};
    const auto cut = mil::autodiff::differentiate(stage.function, options);
    expect_lean(stage.function, stage.files, stage.name);
    expect_lean(cut.forward, stage.files, stage.name + " forward");
    expect_lean(cut.backward, stage.files, stage.name + " backward");
}

TEST(Memory, StagesOfStories110MTakeLittleMoreThanTheirValues) {
    model::Form form;
    form.sequence = 256;
    const auto config = model::preset("stories110M");
    expect_lean(model::attention_stage(config, form));
    expect_lean(model::feed_forward_stage(config, form));
}

}  // namespace
}  // namespace pome::device
