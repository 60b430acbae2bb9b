#include <gtest/gtest.h>

#include <cmath>

#include "support/test_data.h"
#include "train/small_run.h"
#include "train/static_pipeline.h"

namespace pome::train {
namespace {

const std::vector<std::vector<std::string>>& choices() {
    static const std::vector<std::vector<std::string>> all{
        {"final_norm"},
        {"classifier"},
        {"softmax"},
        {"norm_backward"},
        {"final_norm", "classifier", "softmax", "norm_backward"}};
    return all;
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) {
        text += (text.empty() ? "" : "+") + name;
    }
    return text;
}

/// Training and validation loss of each step.
std::vector<std::pair<double, double>> loss_numbers(const std::filesystem::path& run) {
    std::vector<std::pair<double, double>> result;
    std::ifstream lines(run / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
        const auto record = nlohmann::json::parse(line);
        result.emplace_back(record.at("train_loss").get<double>(),
                            record.at("validation_loss").get<double>());
    }
    return result;
}

int run_with_restarts(const std::filesystem::path& run, const Config& config) {
    ThreadPool pool(2);
    const std::atomic<bool> stop{false};
    for (int processes = 1;; ++processes) {
        // By the client route a process compiles what it wants.
        const auto device = device::emulator::make_emulator(
            config.engine.compile_limit == 0 ? "m4/client" : "m4", {}, pool);
        const auto trainer = processes == 1 ? Trainer::create(config, run, *device, pool)
                                            : Trainer::resume(run, *device, pool);
        if (trainer->run([](const Report&) {}, stop) != Outcome::restart) {
            return processes;
        }
        EXPECT_LE(device->compiles(), config.engine.compile_limit);
    }
}

TEST(Extras, EachAloneAndAllTogetherTrainLikeTheHost) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.engine.pipeline = "static-extras";
    config.engine.compile_limit = 0;
    config.engine.extras.emplace();
    run_with_restarts(work.path() / "host", config);
    const auto host = loss_numbers(work.path() / "host");
    ASSERT_EQ(host.size(), 30U);
    for (const auto& extras : choices()) {
        SCOPED_TRACE(joined(extras));
        config.engine.extras = extras;
        run_with_restarts(work.path() / joined(extras), config);
        const auto found = loss_numbers(work.path() / joined(extras));
        ASSERT_EQ(found.size(), host.size());
        double difference = 0.0;
        for (std::size_t i = 0; i < host.size(); ++i) {
            EXPECT_NEAR(found[i].first, host[i].first, 0.01 * host[i].first) << "step " << i + 1;
            EXPECT_NEAR(found[i].second, host[i].second, 0.01 * host[i].second);
            difference = std::max(difference, std::fabs(found[i].first / host[i].first - 1.0));
        }
        EXPECT_GT(difference, 0.0) << "the engine computed nothing";
        RecordProperty(joined(extras), std::to_string(difference));
    }
}

/// The static pipeline of a small model with some extras, on a device.
struct Model {
    model::Architecture architecture;
    ParameterSet weights, gradients;
    StaticPipeline pipeline;
    LanguageModel language_model;

    static model::ModelConfig config() {
        model::ModelConfig made;
        made.width = 32, made.hidden = 64, made.layers = 2, made.heads = 4, made.kv_heads = 2;
        made.vocabulary = 96, made.sequence = 32;
        return made;
    }
    static model::Form form() {
        model::Form made;
        made.sequence = 32;
        return made;
    }

    Model(device::Device& device, ThreadPool& pool, const std::vector<std::string>& extras)
        : architecture(model::architecture(config())),
          weights(architecture),
          gradients(architecture),
          pipeline(architecture, device, pool, form(), options(extras)),
          language_model(architecture, pipeline, pool, 32) {
        Random random(4);
        weights.initialize(random);
        for (float& value : weights.all()) {
            value *= 1.5F;  // gains that are not 1
        }
        pipeline.stage_weights(weights);
    }

    static StaticPipeline::Options options(const std::vector<std::string>& extras) {
        StaticPipeline::Options made;
        made.training = true;
        for (const auto& name : extras) {
            made.extras.insert(extra_from(name));
        }
        return made;
    }

    double step(double scale = 1024.0) {
        Random random(9);
        std::vector<std::int32_t> tokens, targets;
        for (int i = 0; i < 32; ++i) {
            tokens.push_back(static_cast<std::int32_t>(random.below(96)));
            targets.push_back(static_cast<std::int32_t>(random.below(96)));
        }
        const double loss = language_model.forward(tokens, targets, weights);
        std::fill(gradients.all().begin(), gradients.all().end(), 0.0F);
        language_model.backward(scale, weights, gradients);
        return loss;
    }
};

double cosine(std::span<const float> a, std::span<const float> b) {
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
        bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
    }
    return ab / std::sqrt(aa * bb);
}

TEST(Extras, GradientsPointWhereTheHostsDo) {
    ThreadPool pool(2);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    Model host(*device, pool, {});
    const double expected = host.step();
    EXPECT_FALSE(host.pipeline.take_overflow());
    for (const auto& extras : choices()) {
        SCOPED_TRACE(joined(extras));
        Model engine(*device, pool, extras);
        EXPECT_NEAR(engine.step(), expected, 1e-3 * expected);
        EXPECT_FALSE(engine.pipeline.take_overflow());
        EXPECT_GT(cosine(engine.gradients.all(), host.gradients.all()), 0.9999);
        for (std::size_t i = 0; i < host.gradients.size(); ++i) {
            EXPECT_GT(cosine(engine.gradients.values(i), host.gradients.values(i)), 0.999)
                << host.gradients.parameter(i).name;
        }
    }
}

TEST(Extras, AStreamOutsideFp16IsAnOverflow) {
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    Model engine(*device, pool, {"final_norm"});
    auto embedding = engine.weights.values(engine.architecture.embedding);
    std::fill(embedding.begin(), embedding.end(), 70000.0F);
    engine.step();
    EXPECT_TRUE(engine.pipeline.take_overflow());
    EXPECT_FALSE(engine.pipeline.take_overflow());
}

TEST(Extras, EqualGainsShareAProgramAndSoftmaxIsCompiledOnce) {
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    Model engine(*device, pool, choices().back());
    // 4 blocks forward and backward, final norm, classifier, and the gradient through 5 norms.
    EXPECT_EQ(engine.pipeline.compiles_for_update(), 8 + 1 + 1 + 5);
    engine.step();
    EXPECT_EQ(device->compiles(), 8 + 1 + 1 + 1 + 1);  // softmax; all gains are equal
    engine.pipeline.stage_weights(engine.weights);
    engine.step();
    EXPECT_EQ(device->compiles(), 12);
    engine.weights.values(engine.architecture.blocks[1].norm)[0] = 3.0F;
    engine.pipeline.stage_weights(engine.weights);
    engine.step();
    EXPECT_EQ(device->compiles(), 13);
}

TEST(Extras, HaveTheSameLossesAcrossRestarts) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.run.report_every = 4;
    config.engine.pipeline = "static-extras";
    config.engine.compile_limit = 0;
    EXPECT_EQ(run_with_restarts(work.path() / "whole", config), 1);
    const auto expected = losses(work.path() / "whole");
    ASSERT_EQ(expected.size(), 8U);
    // 16 programs at first, softmax among them, then 15 an update.
    config.engine.compile_limit = 47;
    EXPECT_GT(run_with_restarts(work.path() / "restarts", config), 9);
    EXPECT_EQ(losses(work.path() / "restarts"), expected);
}

TEST(Extras, AreRefusedWhereTheyCannotBe) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    Config config = small_config("/");
    EXPECT_EQ(error_text([&] {
                  parse_config(config.text(), "test", {"engine.extras=[\"classifer\"]"}, "/");
              }),
              "[train.config] engine.extras names 'classifer'; the extras are final_norm, "
              "classifier, softmax, norm_backward");
    EXPECT_EQ(error_text([&] { parse_config(config.text(), "c", {"engine.extras=all"}, "/"); }),
              "[train.config] c: 'engine.extras' must be a list of strings");
    config.engine.pipeline = "dynamic";
    config.engine.extras = {"classifier"};
    EXPECT_EQ(error_text([&] { resolve(config, *m4); }),
              "[train.pipeline] engine.extras need programs with compiled weights; this run uses "
              "the 'dynamic' pipeline (engine.pipeline asks for it); use engine.pipeline = "
              "\"static-extras\", or leave engine.extras out");
    const Config again = parse_config(config.text(), "again", {}, "/");
    EXPECT_EQ(again.engine.extras, config.engine.extras);
}

TEST(Extras, AreAllByDefaultWithStaticExtrasOnly) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    for (const char* pipeline : {"static-extras", "static", "dynamic"}) {
        Config config = small_config("/");
        config.engine.pipeline = pipeline;
        resolve(config, *m4);
        EXPECT_EQ(config.engine.extras->size(),
                  config.engine.pipeline == "static-extras" ? 4U : 0U);
        EXPECT_EQ(config.engine.overlap, false);  // the emulator uses the same processors
    }
}

/// An M4 with few channels.
class NarrowDevice final : public device::Device {
  public:
    NarrowDevice(ThreadPool& pool, std::int64_t channels)
        : inner_(device::emulator::make_emulator("m4", {}, pool)), profile_(inner_->profile()) {
        profile_.limits.max_channels = channels;
    }
    std::string name() const override { return inner_->name(); }
    const device::Profile& profile() const override { return profile_; }
    bool uses_host_processors() const override { return false; }

  private:
    std::unique_ptr<device::Executable> build(const mil::Package& package,
                                              std::string_view function) override {
        return inner_->compile(package, function);
    }
    std::unique_ptr<device::Device> inner_;
    device::Profile profile_;
};

TEST(Extras, AClassifierWiderThanTheChipIsCut) {
    ThreadPool pool(1);
    const auto wide = device::emulator::make_emulator("m4", {}, pool);
    NarrowDevice narrow(pool, 80);
    Model whole(*wide, pool, {"classifier"}), parts(narrow, pool, {"classifier"});
    EXPECT_EQ(parts.pipeline.compiles_for_update(), 8 + 2);  // of 48 tokens each
    EXPECT_EQ(parts.step(), whole.step());
    EXPECT_TRUE(std::equal(parts.gradients.all().begin(), parts.gradients.all().end(),
                           whole.gradients.all().begin()));
    EXPECT_EQ(error_text([&] { Model(narrow, pool, {"softmax"}); }),
              "[train.pipeline] engine.extras has softmax over 96 tokens, but m4 takes at most 80 "
              "channels; leave softmax out");
    Config config = small_config("/");
    config.engine.pipeline = "static-extras";
    const Choice choice = resolve(config, narrow);
    EXPECT_EQ(joined(*config.engine.extras), "final_norm+classifier+norm_backward");
    EXPECT_EQ(choice.reason,
              "engine.pipeline asks for it; softmax over 320 tokens stays on the host: m4 takes 80 "
              "channels");
    EXPECT_EQ(config.engine.overlap, true);
}

TEST(Extras, ReportWhatTheySpareAndCost) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.run.steps = 4;
    config.engine.pipeline = "static-extras";
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const std::atomic<bool> stop{false};
    const auto trainer = Trainer::create(config, work.path() / "run", *device, pool);
    Report last;
    trainer->run([&](const Report& line) { last = line; }, stop);
    ASSERT_EQ(last.extras.size(), 4U);
    const std::map<std::string, std::int64_t> runs{
        {"final_norm", 1}, {"classifier", 1}, {"softmax", 1}, {"norm_backward", 5}};
    for (const auto& extra : last.extras) {
        EXPECT_EQ(extra.runs, runs.at(extra.name));
        EXPECT_GT(extra.host_ms, 0.0) << extra.name;
        EXPECT_GT(extra.device_ms, 0.0) << extra.name;
        EXPECT_GT(extra.io_ms, 0.0) << extra.name;
    }
    const std::string metrics = read_text(work.path() / "run" / "metrics.jsonl");
    const auto line = nlohmann::json::parse(metrics.substr(0, metrics.find('\n')));
    EXPECT_TRUE(line.at("extras").at("classifier").contains("host_ms"));
    const auto environment =
        nlohmann::json::parse(read_text(work.path() / "run" / "environment.json"));
    EXPECT_EQ(environment.at("pipeline").at("extras").size(), 4U);
}

/// Issue: after 300 steps from one seed the pipelines' losses agree within 1 %; dynamic and static
/// to the bit.
TEST(LongExtras, ThreeHundredStepsOfStories260K) {
    const TemporaryDirectory work;
    write_file_atomic(work.path() / "text.txt", generate_stories(5, 600000));
    PrepareOptions options;
    options.inputs = {work.path() / "text.txt"};
    options.output = work.path();
    options.vocabulary = 512;
    prepare(options);
    const Config config = parse_config(
        "[model]\npreset = \"stories260K\"\n[train]\nsteps = 300\nsequence = 128\nbatch = 2\n"
        "report_every = 50\nvalidate_every = 300\nsave_every = 1000\nvalidation_windows = 16\n"
        "[engine]\ncompile_limit = 0\n",
        "test", {"data.directory=" + work.path().string()}, "/");
    std::map<std::string, std::vector<std::string>> lines;
    std::map<std::string, double> validation;
    for (const char* pipeline : {"dynamic", "static", "static-extras"}) {
        Config own = config;
        own.engine.pipeline = pipeline;
        run_with_restarts(work.path() / pipeline, own);
        lines[pipeline] = losses(work.path() / pipeline);
        validation[pipeline] = loss_numbers(work.path() / pipeline).back().second;
        std::cout << pipeline << ": validation loss " << validation[pipeline] << "\n";
    }
    EXPECT_EQ(lines["static"], lines["dynamic"]);
    EXPECT_LT(validation["dynamic"], 3.0);  // it learned
    EXPECT_NEAR(validation["static-extras"], validation["dynamic"], 0.01 * validation["dynamic"]);
}

}  // namespace
}  // namespace pome::train
