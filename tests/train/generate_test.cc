#include "train/generate.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "device/emulator/emulator.h"
#include "device/reference_device.h"
#include "formats/tokenizer.h"
#include "support/test_data.h"
#include "train/dynamic_pipeline.h"
#include "train/model_file.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

TEST(Generate, ARealModelWritesThePublishedText) {
    POME_REQUIRE_TEST_DATA(folder, "llama2c");
    const auto loaded = load_model(folder / "stories260K.bin");
    const auto tokenizer = formats::Tokenizer::read(folder / "tok512.bin");
    ThreadPool pool;
    const auto device = device::make_reference_device();
    Generator generator(loaded.architecture, loaded.weights, *device, pool, {});
    std::string text;
    std::int32_t previous = formats::Tokenizer::bos;
    GenerateOptions options;
    options.tokens = 60;  // the whole 200 run in tests/cli
    options.temperature = 0.0;
    generator.run({formats::Tokenizer::bos}, options, [&](std::int32_t token) {
        text += tokenizer.decode(previous, token);
        previous = token;
    });
    const auto expected = read_text(folder / "stories260K_expected_t0_n200.txt");
    EXPECT_GT(text.size(), 100U);
    EXPECT_EQ(text, expected.substr(0, text.size()));
}

TEST(Evaluate, TheEmulatorCostsLessThanOnePercentOfPerplexity) {
    POME_REQUIRE_TEST_DATA(folder, "llama2c");
    const auto loaded = load_model(folder / "stories260K.bin");
    const TokenDataset data(folder.parent_path() / "text" / "tinystories_2M_tok512.bin", 512, 256);
    ThreadPool pool;
    const auto perplexity = [&](device::Device& device) {
        model::Form form;
        form.sequence = 256;
        DynamicPipeline pipeline(loaded.architecture, device, pool, form, {});
        pipeline.stage_weights(loaded.weights);
        LanguageModel language_model(loaded.architecture, pipeline, pool, 256);
        return evaluate(language_model, loaded.weights, data, 12).perplexity();
    };
    const double exact = perplexity(*device::emulator::make_emulator("m4", {}, pool)),
                 oracle = perplexity(*device::make_reference_device());
    EXPECT_NEAR(exact / oracle, 1.0, 0.01);
}

// Five hundred steps on both devices: minutes, so only with `make test-long`.
TEST(LongTraining, EmulatorAndReferenceReachTheSameLoss) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    double loss[2] = {};
    for (const int on_engine : {0, 1}) {
        ThreadPool pool;
        const auto device = on_engine != 0 ? device::emulator::make_emulator("m4", {}, pool)
                                           : device::make_reference_device();
        const Config config = parse_config(
            "[model]\npreset = \"stories260K\"\nvocabulary = 320\n"
            "[train]\nsteps = 500\nsequence = 64\nbatch = 1\nreport_every = 100\nvalidate_every = "
            "500\nsave_every = 500\nvalidation_windows = 20\n",
            "test", {"data.directory=" + work.path().string()}, "/");
        const auto trainer = Trainer::create(
            config, work.path() / (on_engine != 0 ? "engine" : "reference"), *device, pool);
        const std::atomic<bool> stop{false};
        trainer->run([](const Report&) {}, stop);
        loss[on_engine] = trainer->validate().loss;
    }
    std::printf("validation loss after 500 steps: reference %.4f, emulator %.4f\n", loss[0],
                loss[1]);
    EXPECT_NEAR(loss[1] / loss[0], 1.0, 0.02);
    EXPECT_LT(loss[1], 3.0);
}

}  // namespace
}  // namespace pome::train
