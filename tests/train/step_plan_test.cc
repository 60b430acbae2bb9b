#include "train/step_plan.h"

#include <gtest/gtest.h>

#include "model/architecture.h"
#include "support/test_data.h"

namespace pome::train {
namespace {

Config stories() {
    Config config;
    config.model = model::preset("stories110M");
    config.run.sequence = config.model.sequence = 256;
    config.data.directory = "data";
    config.run.batch = 1;
    config.engine.pipeline = "dynamic";
    return config;
}

TEST(StepPlan, Stories110MHasTheHostFlopsOfItsPublishedStep) {
    const StepPlan plan = step_plan(stories());
    // Weight gradients of one forward pass's products, and the classifier's three products.
    EXPECT_EQ(plan.host_flops, 43486543872.0 + 3.0 * 12582912000.0);
    EXPECT_EQ(plan.tokens, 256);
    ASSERT_EQ(plan.programs.size(), 4U);
    EXPECT_EQ(plan.compiles_once, 4);
    EXPECT_EQ(plan.compiles_update, 0);
    for (const auto& program : plan.programs) {
        EXPECT_EQ(program.evaluations, 12) << program.name;
    }
    EXPECT_EQ(plan.programs[0].name, "attention forward");
    EXPECT_EQ(plan.programs[3].name, "feed_forward backward");
}

TEST(StepPlan, TheStaticPipelineBakesWeightsAndCompilesForEveryUpdate) {
    Config config = stories();
    config.engine.pipeline = "static";
    const StepPlan plan = step_plan(config);
    EXPECT_EQ(plan.compiles_once, 0);
    EXPECT_EQ(plan.compiles_update, 48);
    EXPECT_EQ(plan.compiled_bytes, 2.0 * 2.0 * 84934656.0) << "the products' weights, both ways";
    bool has_conv = false;
    for (const auto& operation : plan.programs[0].function.operations) {
        has_conv = has_conv || operation.op == "conv";
    }
    EXPECT_TRUE(has_conv);
    EXPECT_EQ(plan.programs[0].function.parameters.size(), 1U) << "x alone";
    EXPECT_EQ(plan.host_flops, step_plan(stories()).host_flops);
}

TEST(StepPlan, ExtrasMoveTheClassifierToTheEngine) {
    Config config = stories();
    config.engine.pipeline = "static";
    const StepPlan plain = step_plan(config);
    config.engine.pipeline = "static-extras";
    config.engine.extras = {"final_norm", "classifier", "norm_backward"};
    const StepPlan plan = step_plan(config, 16384);
    EXPECT_EQ(plan.host_flops, plain.host_flops - 12582912000.0);
    // The final norm, two halves of the vocabulary, the gradients through 25 norms.
    EXPECT_EQ(plan.compiles_update, plain.compiles_update + 1 + 2 + 25);
    EXPECT_EQ(plan.compiled_bytes, plain.compiled_bytes + 2.0 * (32000 + 1 + 25) * 768.0);
    ASSERT_EQ(plan.programs.size(), 8U);
    EXPECT_EQ(plan.programs[4].name, "final norm");
    EXPECT_EQ(plan.programs[5].name, "classifier");
    EXPECT_EQ(plan.programs[7].evaluations, 25);
    config.engine.pipeline = "resident";
    EXPECT_NE(error_text([&] { step_plan(config); }).find("is not planned yet; plan"),
              std::string::npos);
}

TEST(StepPlan, AnOpenConfigIsRefused) {
    Config config = stories();
    config.engine.pipeline = "auto";
    EXPECT_EQ(error_text([&] { step_plan(config); }),
              "[train.plan] engine.pipeline is 'auto' and train.batch 1: choose them for a device "
              "first");
}

TEST(StepPlan, ABatchRepeatsTheEvaluationsAndNotTheUpdate) {
    Config config = stories();
    const StepPlan one = step_plan(config);
    config.run.batch = 4;
    const StepPlan four = step_plan(config);
    EXPECT_EQ(four.tokens, 4 * one.tokens);
    EXPECT_EQ(four.host_flops, 4.0 * one.host_flops);
    EXPECT_EQ(four.programs[0].evaluations, 48);
    const auto parameters =
        static_cast<double>(model::architecture(config.model).parameter_count());
    EXPECT_LT(four.host_bytes, 4.0 * one.host_bytes - 3.0 * 28.0 * parameters);
}

TEST(StepPlan, ScaledProductsAndOtherModelsArePlannedAsTheyRun) {
    Config config = stories();
    config.engine.product_scale = true;
    const StepPlan with_scales = step_plan(config);
    bool scaled = false;
    for (const auto& parameter : with_scales.programs[0].function.parameters) {
        scaled = scaled || parameter.name == "product_scales";
    }
    EXPECT_TRUE(scaled);
    config = {};
    config.model.kind = "mlp";
    config.run.batch = 1;
    config.engine.pipeline = "dynamic";
    config.model.width = 64;
    config.model.hidden = 128;
    config.model.layers = 2;
    config.model.vocabulary = 330;
    config.run.sequence = config.model.sequence = 32;
    config.data.directory = "data";
    const StepPlan plan = step_plan(config);
    ASSERT_EQ(plan.programs.size(), 2U);
    EXPECT_EQ(plan.programs[0].name, "mlp forward");
    EXPECT_EQ(plan.programs[0].evaluations, 2);
}

}  // namespace
}  // namespace pome::train
