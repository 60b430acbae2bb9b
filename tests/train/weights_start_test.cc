#include <gtest/gtest.h>

#include "support/blzt_bytes.h"
#include "support/test_data.h"
#include "train/dynamic_pipeline.h"
#include "train/model_file.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

/// A BLZT checkpoint of small_config()'s sizes, and the settings that make it fit.
std::filesystem::path write_weights(const std::filesystem::path& folder) {
    test::BlztFile file;
    file.version = 4, file.layers = 2, file.vocabulary = 320, file.width = 32, file.hidden = 64;
    file.heads = 4, file.kv_heads = 2, file.head_size = 8, file.sequence = 24;
    Random random(11);
    write_file_atomic(folder / "start.bin", test::blzt_bytes(file, [&] {
                          return static_cast<float>(0.2 * random.normal());
                      }));
    return folder / "start.bin";
}

Config config_from(const std::filesystem::path& data, const std::filesystem::path& weights) {
    Config config = small_config(data);
    config.weights = weights.string();
    config.run.steps = 6;
    return config;
}

TEST(WeightsStart, TheFirstLossIsTheFilesOwnOnTheSameWindows) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    const auto weights = write_weights(work.path());
    const Config config = config_from(work.path(), weights);
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const auto trainer = Trainer::create(config, work.path() / "run", *device, pool);

    // What `pome eval` does with the file.
    const auto loaded = load_model(weights);
    const TokenDataset data(work.path() / "val.bin", 320, 32);
    DynamicPipeline pipeline(loaded.architecture, *device, pool, stage_form({}, 32), {});
    pipeline.stage_weights(loaded.weights);
    LanguageModel language_model(loaded.architecture, pipeline, pool, 32);
    const double expected =
        evaluate(language_model, loaded.weights, data, config.run.validation_windows).loss;
    EXPECT_EQ(trainer->validate().loss, expected);

    Config random = config;
    random.weights.clear();
    const auto other = Trainer::create(random, work.path() / "random", *device, pool);
    EXPECT_GT(std::abs(other->validate().loss - expected), 0.01) << "random weights differ";
}

TEST(WeightsStart, TheRunKeepsThePathAndNeedsTheFileNoMore) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    const auto weights = write_weights(work.path());
    const Config config = config_from(work.path(), weights);
    train_to_the_end(work.path() / "whole", &config);
    EXPECT_EQ(losses(work.path() / "whole").size(), 6U);
    {
        ThreadPool pool(1);
        const auto device = device::emulator::make_emulator("m4", {}, pool);
        Trainer::create(config, work.path() / "stopped", *device, pool);  // before its first step
    }
    EXPECT_EQ(run_config(work.path() / "stopped").weights, weights.string());
    std::filesystem::remove(weights);
    train_to_the_end(work.path() / "stopped", nullptr);
    EXPECT_EQ(losses(work.path() / "stopped"), losses(work.path() / "whole"));
}

TEST(WeightsStart, BothPipelinesGoOnAlike) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = config_from(work.path(), write_weights(work.path()));
    config.run.steps = 3;
    for (const std::string pipeline : {"static", "dynamic"}) {
        config.engine.pipeline = pipeline;
        train_to_the_end(work.path() / pipeline, &config);
    }
    EXPECT_EQ(losses(work.path() / "static").size(), 3U);
    EXPECT_EQ(losses(work.path() / "static"), losses(work.path() / "dynamic"));
}

TEST(WeightsStart, RefusesAnotherModelAndLeavesNoRun) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    const auto weights = write_weights(work.path());
    Config config = config_from(work.path(), weights);
    config.model.hidden = 96;
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const auto create = [&] { Trainer::create(config, work.path() / "run", *device, pool); };
    EXPECT_EQ(error_text(create),
              "[train.model_file] " + weights.string() +
                  ": another model than the config describes: hidden is 64 there and model.hidden "
                  "= 96 here; set the config's keys to the file's");
    config.weights = (work.path() / "none.bin").string();
    EXPECT_EQ(error_text(create),
              "[base.file] " + config.weights + ": cannot open: No such file or directory");
    EXPECT_FALSE(std::filesystem::exists(work.path() / "run" / "config.toml"));
    config = config_from(work.path(), weights);
    EXPECT_NO_THROW(create()) << "the same directory, once the config is right";
}

}  // namespace
}  // namespace pome::train
