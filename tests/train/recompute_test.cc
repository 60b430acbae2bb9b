// engine.recompute changes what is kept between the two programs of a stage, not a bit of a run.
#include <gtest/gtest.h>

#include "support/test_data.h"
#include "train/small_run.h"
#include "train/stage_pipeline.h"

namespace pome::train {
namespace {

using mil::autodiff::Recompute;

TEST(Recompute, LeavesEveryLossItsBits) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    for (const char* pipeline : {"dynamic", "static", "resident"}) {
        SCOPED_TRACE(pipeline);
        Config config = small_config(work.path());
        config.run.steps = 6;
        config.engine.pipeline = pipeline;
        config.engine.compile_limit = 0;
        std::vector<std::string> expected;
        for (const Recompute which :
             {Recompute::cheap, Recompute::nothing, Recompute::everything}) {
            SCOPED_TRACE(recompute_name(which));
            config.engine.recompute = which;
            ThreadPool pool(2);
            const auto device = device::emulator::make_emulator("m4/client", {}, pool);
            const auto run = work.path() / fmt::format("{} {}", pipeline, recompute_name(which));
            const std::atomic<bool> stop{false};
            Trainer::create(config, run, *device, pool)->run([](const Report&) {}, stop);
            if (expected.empty()) {
                expected = losses(run);
                ASSERT_EQ(expected.size(), 6U);
            }
            EXPECT_EQ(losses(run), expected);
        }
    }
}

TEST(Recompute, SavesLessTheMoreIsComputedAgain) {
    const auto config = model::preset("stories260K");
    model::Form form;
    form.sequence = 64;
    const auto saved = [&](Recompute which) {
        std::int64_t elements = 0;
        for (const auto kind : {model::StageKind::attention, model::StageKind::feed_forward}) {
            const auto parts = training_programs(model::make_stage(kind, config, form),
                                                 {WeightGradients::host, which});
            for (const auto& name : parts.saved) {
                elements += parts.forward.find_type(name)->shape.elements();
            }
        }
        return elements;
    };
    EXPECT_GT(saved(Recompute::nothing), saved(Recompute::cheap));
    EXPECT_GT(saved(Recompute::cheap), saved(Recompute::everything));
    EXPECT_EQ(saved(Recompute::everything), 0);
}

}  // namespace
}  // namespace pome::train
