#include "train/resident_pipeline.h"

#include <gtest/gtest.h>

#include <cmath>

#include "formats/checkpoint.h"
#include "support/test_data.h"
#include "train/model_file.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

nlohmann::json last_report(const std::filesystem::path& run) {
    std::ifstream lines(run / "metrics.jsonl");
    nlohmann::json last;
    for (std::string line; std::getline(lines, line);) {
        last = nlohmann::json::parse(line);
    }
    return last;
}

Config resident_config(const std::filesystem::path& data) {
    Config config = small_config(data);
    config.engine.pipeline = "resident";
    return config;
}

TEST(ResidentPipeline, LearnsAsWithFp32WeightsOnTheHost) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = resident_config(work.path());
    config.run.steps = 60;
    train_to_the_end(work.path() / "resident", &config);
    config.engine.pipeline = "dynamic";
    train_to_the_end(work.path() / "dynamic", &config);
    const auto resident = last_report(work.path() / "resident"),
               dynamic = last_report(work.path() / "dynamic");
    EXPECT_EQ(resident["step"], 60);
    EXPECT_LT(dynamic["validation_loss"].get<double>(), 4.5);  // of 5.8 before the first step
    EXPECT_NEAR(
        resident["validation_loss"].get<double>() / dynamic["validation_loss"].get<double>(), 1.0,
        0.005);
}

TEST(ResidentPipeline, ResumesExactly) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = resident_config(work.path());
    config.engine.product_scale = true;
    config.engine.product_scale_every = 4;
    train_to_the_end(work.path() / "whole", &config);
    const auto expected = losses(work.path() / "whole");
    ASSERT_EQ(expected.size(), 30U);

    ThreadPool pool(1);
    const auto run = work.path() / "pieces";
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    auto trainer = Trainer::create(config, run, *m4, pool);
    for (const std::int64_t step : {5, 12, 13, 24}) {
        std::atomic<bool> stop{false};
        EXPECT_EQ(trainer->run([&](const Report& report) { stop = report.step >= step; }, stop),
                  Outcome::interrupted);
        trainer = Trainer::resume(run, *m4, pool);
        EXPECT_EQ(trainer->step(), step);
    }
    trainer.reset();
    train_to_the_end(run, nullptr);
    EXPECT_EQ(losses(run), expected);
}

TEST(ResidentPipeline, CheckpointsHoldTheEnginesStateAndTheModel) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = resident_config(work.path());
    config.run.steps = 8;
    const auto run = work.path() / "run";
    train_to_the_end(run, &config);
    const formats::Checkpoint checkpoint(run / "checkpoints" / "step_00000008");
    const auto& tensors = checkpoint.optimizer().tensors();
    const std::string w = "layers.1.attention.wq.weight";
    for (const std::string part : {"w", "w_lo", "m", "v", "v_lo"}) {
        ASSERT_TRUE(tensors.contains("resident." + w + "." + part)) << part;
        EXPECT_EQ(tensors.at("resident." + w + "." + part).dtype, DType::fp16);
    }
    EXPECT_FALSE(tensors.contains("m." + w));
    EXPECT_TRUE(tensors.contains("m.embedding.weight"));
    // The model is the sum of both surfaces.
    const auto loaded = load_model(run);
    const auto values = loaded.weights.values(w);
    const auto& high = tensors.at("resident." + w + ".w").bytes;
    const auto& low = tensors.at("resident." + w + ".w_lo").bytes;
    for (std::size_t i = 0; i < values.size(); ++i) {
        fp16 h, l;
        std::memcpy(&h, high.data() + 2 * i, 2);
        std::memcpy(&l, low.data() + 2 * i, 2);
        EXPECT_EQ(values[i], to_float(h) + to_float(l) / 2048.0F);
    }
}

TEST(ResidentPipeline, AnUpdateThatOverflowsLeavesTheStateAlone) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = resident_config(work.path());
    config.engine.loss_scale.initial = config.engine.loss_scale.maximum = std::ldexp(1.0, 40);
    config.run.steps = 60;
    config.run.save_every = 1000;
    const auto run = work.path() / "run";
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    const auto trainer = Trainer::create(config, run, *m4, pool);
    const ParameterSet before = trainer->weights();
    std::atomic<bool> stop{false};
    trainer->run([&](const Report& report) { stop = report.step >= 5; }, stop);
    // Five updates, five overflows: the saved state is the start's, to the 22 bits it has.
    const auto loaded = load_model(run / "checkpoints" / "step_00000005");
    for (std::size_t i = 0; i < before.size(); ++i) {
        for (std::size_t k = 0; k < before.values(i).size(); ++k) {
            const auto was = static_cast<double>(before.values(i)[k]);
            EXPECT_NEAR(static_cast<double>(loaded.weights.values(i)[k]), was,
                        0x1p-21 * std::fabs(was) + 0x1p-34);
        }
    }
    stop = false;
    trainer->run([](const Report&) {}, stop);
    const auto last = last_report(run);
    EXPECT_GT(last["skipped"].get<int>(), 5);
    EXPECT_LT(last["skipped"].get<int>(), 40);
    EXPECT_LT(last["validation_loss"].get<double>(), 5.5);
}

TEST(ResidentPipeline, TheHostHoldsNothingOfWhatTheEngineKeeps) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = resident_config(work.path());
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    const auto trainer = Trainer::create(config, work.path() / "run", *m4, pool);
    // Embedding and norms: the matrices of the blocks are the engine's.
    EXPECT_EQ(trainer->host_parameters(), 320 * 32 + 5 * 32);
    // And yet a copy of all is what the seed says, to the 22 bits that the state has.
    ParameterSet first(trainer->architecture());
    Random random(config.run.seed);
    first.initialize(random);
    const ParameterSet weights = trainer->weights();
    ASSERT_EQ(weights.all().size(), first.all().size());
    for (std::size_t i = 0; i < first.all().size(); ++i) {
        const auto was = static_cast<double>(first.all()[i]);
        EXPECT_NEAR(static_cast<double>(weights.all()[i]), was, 0x1p-21 * std::fabs(was) + 0x1p-34);
    }
}

TEST(ResidentPipeline, IsRefusedWhereWeightsCannotBeInputs) {
    ThreadPool pool(1);
    const auto m1 = device::emulator::make_emulator("m1", {}, pool);
    EXPECT_EQ(
        error_text([&] { choose_pipeline("resident", *m1); }),
        "[train.pipeline] engine.pipeline is 'resident', but emulator:m1 does not run programs "
        "whose weights are inputs (capability runtime_weights); use engine.pipeline = "
        "\"static\" or \"auto\"");
    EXPECT_EQ(m1->compiles(), 0);
}

TEST(ResidentPipeline, AStateOfAnotherFormIsRefused) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = resident_config(work.path());
    config.run.steps = 2;
    config.engine.resident_state = "plain";
    const auto run = work.path() / "run";
    train_to_the_end(run, &config);
    std::string text = read_text(run / "config.toml");
    const std::string was = "resident_state = 'plain'", is = "resident_state = 'compensated'";
    ASSERT_NE(text.find(was), std::string::npos) << text;
    text.replace(text.find(was), was.size(), is);
    write_file_atomic(run / "config.toml", text);
    const std::string error = error_text([&] { train_to_the_end(run, nullptr); });
    EXPECT_NE(error.find("tensor 'resident.layers.0.attention.wq.weight.w_lo' is missing; set "
                         "engine.resident_state as the run had it"),
              std::string::npos)
        << error;
}

/// docs/resident.md: stories260K's shape, 300 updates of 4 x 64 tokens of generated text.
TEST(LongResidentPipeline, HasTheDynamicPipelinesLossOnStories260K) {
    const TemporaryDirectory work;
    write_file_atomic(work.path() / "text.txt", generate_stories(1, 600000));
    PrepareOptions options;
    options.inputs = {work.path() / "text.txt"};
    options.output = work.path();
    options.vocabulary = 512;
    prepare(options);
    const auto loss = [&](const std::string& pipeline, const std::string& state) {
        const Config config = parse_config(
            "[model]\npreset = \"stories260K\"\n"
            "[train]\nsteps = 300\nsequence = 64\nbatch = 4\nreport_every = 300\n"
            "validate_every = 300\nvalidation_windows = 64\n",
            "test",
            {"data.directory=" + work.path().string(), "engine.pipeline=" + pipeline,
             "engine.resident_state=" + state},
            "/");
        const auto run = work.path() / (pipeline + state);
        train_to_the_end(run, &config);
        return last_report(run)["validation_loss"].get<double>();
    };
    const double dynamic = loss("dynamic", "plain");
    EXPECT_LT(dynamic, 0.9);
    EXPECT_NEAR(loss("resident", "compensated") / dynamic, 1.0, 0.005);
    EXPECT_NEAR(loss("resident", "plain") / dynamic, 1.0, 0.05);
}

}  // namespace
}  // namespace pome::train
