#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "device/emulator/emulator.h"
#include "device/reference_device.h"
#include "formats/token_shard.h"
#include "support/test_data.h"
#include "train/bpe_trainer.h"
#include "train/corpus.h"
#include "train/dynamic_pipeline.h"
#include "train/generate.h"
#include "train/model_file.h"
#include "train/prepare.h"
#include "train/trainer.h"

namespace pome::train {
namespace {

namespace fs = std::filesystem;

/// A run small enough to repeat: text of our own, one layer.
Config small_config(const fs::path& data) {
    return parse_config(
        "[model]\nwidth = 32\nhidden = 64\nlayers = 2\nheads = 4\nkv_heads = 2\nvocabulary = "
        "320\nsequence = 32\n"
        "[train]\nsteps = 30\nbatch = 2\nreport_every = 1\nvalidate_every = 10\nsave_every = "
        "7\nvalidation_windows = 3\n",
        "test", {"data.directory=" + data.string()}, "/");
}

void prepare_data(const fs::path& directory) {
    write_file_atomic(directory / "text.txt", generate_stories(3, 60000));
    PrepareOptions options;
    options.inputs = {directory / "text.txt"};
    options.output = directory;
    options.vocabulary = 320;
    prepare(options);
}

std::vector<std::string> losses(const fs::path& run) {
    std::vector<std::string> result;
    std::ifstream lines(run / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
        const auto record = nlohmann::json::parse(line);
        result.push_back(record["step"].dump() + " " + record["train_loss"].dump() + " " +
                         record["validation_loss"].dump() + " " + record["grad_norm"].dump());
    }
    return result;
}

void train_to_the_end(const fs::path& run, const Config* config) {
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const std::atomic<bool> stop{false};
    const auto trainer = config != nullptr ? Trainer::create(*config, run, *device, pool)
                                           : Trainer::resume(run, *device, pool);
    trainer->run([](const Report&) {}, stop);
}

TEST(Trainer, ARunKilledAnywhereAndResumedHasTheSameLossesBitForBit) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    const Config config = small_config(work.path());
    train_to_the_end(work.path() / "whole", &config);
    const auto expected = losses(work.path() / "whole");
    ASSERT_EQ(expected.size(), 30U);
    EXPECT_LT(std::stod(expected.back().substr(expected.back().find(' '))), 5.0)
        << "the run did not learn";

    const auto run = work.path() / "killed";
    bool first = true;
    for (const std::size_t lines_before_kill :
         {4U, 11U, 19U, 26U}) {  // SIGKILL at some moment after that many reports
        const pid_t child = fork();
        if (child == 0) {
            try {
                train_to_the_end(run, first ? &config : nullptr);
            } catch (...) {
                _exit(3);
            }
            _exit(0);
        }
        for (int waited = 0; waited < 60000 && losses(run).size() < lines_before_kill; ++waited) {
            usleep(1000);
        }
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        first = false;
    }
    train_to_the_end(run, nullptr);
    EXPECT_EQ(losses(run), expected);
}

TEST(Trainer, GradientsOnTheEmulatorPointWhereCentralDifferencesDo) {
    model::ModelConfig config;
    config.width = 16, config.hidden = 24, config.layers = 1, config.heads = 4, config.kv_heads = 2;
    config.vocabulary = 20, config.sequence = 16;
    const auto architecture = model::architecture(config);
    ParameterSet weights(architecture), gradients(architecture);
    Random random(5);
    weights.initialize(random);
    for (float& value : weights.all()) {
        value *= 1.5F;
    }
    std::vector<std::int32_t> tokens, targets;
    for (int i = 0; i < 16; ++i) {
        tokens.push_back(static_cast<std::int32_t>(random.below(20)));
        targets.push_back(static_cast<std::int32_t>(random.below(20)));
    }
    ThreadPool pool(2);
    model::Form form;
    form.sequence = 16;
    const auto emulator = device::emulator::make_emulator("m4", {}, pool);
    DynamicPipeline engine(architecture, *emulator, pool, form, true);
    LanguageModel on_engine(architecture, engine, pool, 16);
    engine.stage_weights(weights);
    on_engine.forward(tokens, targets, weights);
    on_engine.backward(1024.0, weights, gradients);

    const auto reference = device::make_reference_device();
    DynamicPipeline oracle(architecture, *reference, pool, form, false);
    LanguageModel on_reference(architecture, oracle, pool, 16);
    const auto loss = [&] {
        oracle.stage_weights(weights);
        return on_reference.forward(tokens, targets, weights) / 16.0;
    };
    double dot = 0.0, own = 0.0, numeric = 0.0;
    for (std::size_t i = 0; i < weights.all().size(); i += 7) {
        float& w = weights.all()[i];
        const float kept = w;
        constexpr float step = 4e-3F;
        w = kept + step;
        const double up = loss();
        w = kept - step;
        const double down = loss();
        w = kept;
        const double difference = (up - down) / (2.0 * static_cast<double>(step)),
                     gradient = static_cast<double>(gradients.all()[i]) / 1024.0;
        dot += difference * gradient;
        own += gradient * gradient;
        numeric += difference * difference;
    }
    EXPECT_GE(dot / std::sqrt(own * numeric), 0.999);
}

TEST(Trainer, RefusesWhatCannotWork) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const Config config = small_config(work.path());
    EXPECT_EQ(error_text([&] { Trainer::create(config, "/proc/run", *device, pool); }),
              "[train] /proc/run: cannot create the run directory: No such file or directory");
    const std::string val = (work.path() / "val.bin").string();
    formats::write_tokens(work.path() / "val.bin", std::vector<std::int32_t>(10, 5), 320);
    EXPECT_EQ(error_text([&] { Trainer::create(config, work.path() / "a", *device, pool); }),
              "[train.data] " + val +
                  ": 10 tokens, a sequence of 32 needs 33; prepare more text or set train.sequence "
                  "lower");
    formats::write_tokens(work.path() / "val.bin", std::vector<std::int32_t>(100, 320), 512);
    EXPECT_EQ(error_text([&] { Trainer::create(config, work.path() / "a", *device, pool); }),
              "[formats.tokens] " + val +
                  ": token 0 has id 320, the vocabulary has 320; prepare the data with the model's "
                  "tokenizer");
    EXPECT_EQ(
        error_text([&] { run_config(work.path() / "none"); }),
        "[train] " + (work.path() / "none").string() + ": no run directory: it has no config.toml");
}

TEST(Config, MistakesAreNamed) {
    const std::string model = "[model]\npreset = \"stories260K\"\n";
    const auto text = [&](const std::string& more, const std::vector<std::string>& settings = {}) {
        return error_text([&] { parse_config(model + more, "c.toml", settings, "/"); });
    };
    EXPECT_EQ(text("[train]\nstep = 5\n"), "[train.config] c.toml: unknown key 'train.step'");
    EXPECT_EQ(text("[train]\nsteps = \"five\"\n"),
              "[train.config] c.toml: 'train.steps' must be an integer");
    EXPECT_EQ(text("", {"train.steps=0"}),
              "[train.config] train.steps is 0, it must be from 1 to 1000000000000");
    EXPECT_EQ(text("", {"steps"}),
              "[train.config] --set 'steps' is not of the form section.key=value");
    EXPECT_EQ(text("", {"engine.loss_scale=100.0"}),
              "[train.config] engine.loss_scale 100 and engine.loss_scale_maximum 65536 must be "
              "powers of two, the first not above the second");
    EXPECT_EQ(text("", {"model.heads=7"}),
              "[model.config] width 64 over 7 heads is no even head size; choose heads so that "
              "width / heads is even");
    const Config config = parse_config(model, "c.toml", {"train.sequence=64"}, "/");
    const Config again = parse_config(config.text(), "again", {}, "/");
    EXPECT_EQ(again.text(), config.text());
}

TEST(Prepare, MistakesAreNamed) {
    EXPECT_EQ(error_text([] { split_documents(" \n<|endoftext|>\n", "e.txt"); }),
              "[data.prepare] e.txt: there is no text in it");
    EXPECT_EQ(
        error_text([] { split_json_lines("{\"text\": \"a\"}\n{\"t\": 1}\n", "text", "d.jsonl"); }),
        "[data.prepare] d.jsonl:2: no text in field 'text'; name the field with --field");
    EXPECT_EQ(split_documents("a\r\nb\r\n<|endoftext|>\n c ", "t"),
              (std::vector<std::string>{"a\nb", "c"}));
    EXPECT_EQ(error_text([] { train_bpe(std::vector<std::string>{"abc"}, 512); }),
              "[train.bpe] the text yields 266 pieces, 512 are wanted; give more text or a smaller "
              "vocabulary");
}

TEST(Bpe, EncodesAndDecodesItsText) {
    const std::vector<std::string> texts = split_documents(generate_stories(1, 50000), "t");
    const auto tokenizer = train_bpe(texts, 512);
    EXPECT_EQ(tokenizer.vocabulary(), 512);
    std::size_t tokens = 0, characters = 0;
    for (const auto& text : texts) {
        const auto ids = tokenizer.encode(text, true, false);
        EXPECT_EQ(tokenizer.decode(ids), text);
        tokens += ids.size();
        characters += text.size();
    }
    EXPECT_LT(tokens * 2, characters) << "merges are not used";
}

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
        DynamicPipeline pipeline(loaded.architecture, device, pool, form, false);
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
