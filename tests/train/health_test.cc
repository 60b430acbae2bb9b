#include "train/health.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/test_data.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

const double skipped = std::numeric_limits<double>::quiet_NaN();

HealthConfig small_windows() {
    HealthConfig config;
    config.window = 20;
    return config;
}

std::vector<std::string> kinds(const std::vector<HealthWarning>& warnings) {
    std::vector<std::string> names;
    for (const auto& warning : warnings) {
        names.push_back(warning.kind);
    }
    return names;
}
using Kinds = std::vector<std::string>;

/// A monitor that is given losses, and what it said so far.
struct Watched {
    HealthMonitor monitor;
    std::vector<HealthWarning> said;
    std::int64_t step = 0;

    void take(double loss, double norm = 1.0, double scale = 1024.0, std::int64_t in_a_row = 0,
              const StageHealths& stages = {}) {
        const auto found = monitor.take({++step, loss, norm, scale, in_a_row}, stages);
        said.insert(said.end(), found.begin(), found.end());
    }
};

TEST(Health, ARunThatLearnsIsLeftAlone) {
    Watched run{{small_windows(), true}, {}};
    for (int i = 0; i < 500; ++i) {
        run.take(6.0 * std::exp(-0.002 * i) + 0.3 * std::sin(i), 1.0 + 0.5 * std::cos(i));
    }
    EXPECT_EQ(kinds(run.said), Kinds{});
    EXPECT_TRUE(run.monitor.is_sound());
}

TEST(Health, APlateauIsNamedOnceAndAgainAfterProgress) {
    Watched run{{small_windows(), true}, {}};
    for (int i = 0; i < 100; ++i) {
        run.take(5.5);
    }
    ASSERT_EQ(kinds(run.said), Kinds{"plateau"});
    EXPECT_EQ(run.said[0].message,
              "the loss of the last 20 updates, 5.5, is 0 % below that of the 20 before; likely "
              "cause: a learning rate that is too low or too high for where the run is, or a model "
              "that has learned what it can; change optimizer.learning_rate or its schedule, or "
              "end the run");
    for (int i = 0; i < 20; ++i) {
        run.take(5.0);
    }
    StageHealths vanishing;
    vanishing["attention backward"] = {100, 0, 80, 1e-4, 1, 0, 0};
    for (int i = 0; i < 40; ++i) {
        run.take(5.0, 1.0, 1024.0, 0, vanishing);
    }
    ASSERT_EQ(kinds(run.said), (Kinds{"plateau", "plateau"}));
    EXPECT_NE(
        run.said[1].message.find(
            "likely cause: gradients that vanish (80 % of the values of attention backward lie "
            "below 2^-14); raise engine.loss_scale"),
        std::string::npos)
        << run.said[1].message;
}

TEST(Health, ALossThatRisesDiverges) {
    Watched run{{small_windows(), false}, {}};
    for (int i = 0; i < 30; ++i) {
        run.take(4.0 - 0.02 * i);
    }
    EXPECT_TRUE(run.monitor.is_sound());
    int until = 0;
    while (run.monitor.divergence().empty() && until < 100) {
        run.take(7.0);
        ++until;
        if (until == 5) {
            EXPECT_FALSE(run.monitor.is_sound()) << "a checkpoint of now is no good already";
        }
    }
    EXPECT_LT(until, 20);
    ASSERT_EQ(kinds(run.said), Kinds{"divergence"});
    EXPECT_NE(run.said[0].message.find("its best of 3.5"), std::string::npos);
    EXPECT_NE(run.said[0].message.find("lower optimizer.learning_rate or clip gradients "
                                       "(optimizer.clip_norm)"),
              std::string::npos)
        << run.said[0].message;
    run.take(std::nan(""));
    EXPECT_EQ(run.monitor.divergence(),
              "the loss of step " + std::to_string(run.step) + " is no number");
}

TEST(Health, AGradientSpikeAndOverflowsAreNamed) {
    Watched run{{small_windows(), true}, {}};
    for (int i = 0; i < 20; ++i) {
        run.take(4.0 - 0.05 * i, 2.0);
    }
    run.take(3.0, 50.0);
    ASSERT_EQ(kinds(run.said), Kinds{"gradient_spike"});
    EXPECT_EQ(run.said[0].message.substr(0, 71),
              "the gradient norm of step 21 is 50, 25 times what it was lately; likely");
    run.take(3.0, 2.0);
    StageHealths stages;
    stages["feed_forward backward"].saturated = 12;
    for (int i = 1; i <= 40; ++i) {
        run.take(3.0 - 0.01 * i, skipped, std::max(1.0, std::ldexp(1.0, 20 - i)), i, stages);
    }
    EXPECT_EQ(kinds(run.said), (Kinds{"gradient_spike", "overflows", "scale_floor", "divergence"}));
    EXPECT_NE(run.said[1].message.find("12 results of feed_forward backward saturated"),
              std::string::npos);
    EXPECT_EQ(run.monitor.divergence(), "40 updates in a row overflowed, the loss scale is 1");
}

TEST(Health, ValuesNearTheCeilingAreNamed) {
    Watched run{{small_windows(), true}, {}};
    StageHealths stages;
    stages["attention forward"] = {1000, 5, 0, 12000.0, 7, 0, 0};
    run.take(4.0, 1.0, 1024.0, 0, stages);
    ASSERT_EQ(kinds(run.said), Kinds{"range"});
    EXPECT_EQ(
        run.said[0].message.substr(0, 93),
        "0.5 % of the values of attention forward are 8192 or more (largest 1.2e+04, block 7), "
        "and sum");
}

TEST(Health, GoesOnFromItsState) {
    Watched whole{{small_windows(), true}, {}}, first{{small_windows(), true}, {}};
    const auto loss = [](int i) { return i < 50 ? 5.0 - 0.03 * i : i < 120 ? 3.5 : 9.0; };
    for (int i = 0; i < 90; ++i) {
        whole.take(loss(i));
        first.take(loss(i));
    }
    Watched second{{small_windows(), true}, first.said, first.step};
    second.monitor.restore(nlohmann::json::parse(first.monitor.state().dump()));
    for (int i = 90; i < 140; ++i) {
        whole.take(loss(i));
        second.take(loss(i));
    }
    EXPECT_EQ(second.said, whole.said);
    EXPECT_EQ(second.monitor.state(), whole.monitor.state());
    EXPECT_EQ(kinds(whole.said), (Kinds{"plateau", "divergence"}));
}

/// Records of a run's metrics.
std::vector<nlohmann::json> records(const std::filesystem::path& run) {
    return formats::read_run_log(run / "metrics.jsonl");
}

Kinds warned(const std::filesystem::path& run) {
    Kinds all;
    for (const auto& record : records(run)) {
        for (const auto& warning : record.value("warnings", nlohmann::json::array())) {
            all.push_back(warning.at("kind").get<std::string>());
        }
    }
    return all;
}

/// A run that learns for twenty updates and then takes steps that are much too large: warm-up to a
/// rate that nothing survives.
Config diverging(const std::filesystem::path& data) {
    Config config = small_config(data);
    config.run.steps = 80;
    config.run.save_every = 5;
    config.run.keep_last = 4;
    config.run.validate_every = 1000;
    config.run.validation_windows = 1;
    config.optimizer.learning_rate = 1.0;
    config.optimizer.warmup_steps = 80;
    config.optimizer.clip_norm = 0.0;
    config.health.divergence_factor = 1.1;
    return config;
}

TEST(HealthOfARun, DivergenceWarnsOrStops) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = diverging(work.path());
    train_to_the_end(work.path() / "warn", &config);
    EXPECT_EQ(records(work.path() / "warn").size(), 80U);
    const Kinds found = warned(work.path() / "warn");
    EXPECT_EQ(std::count(found.begin(), found.end(), "divergence"), 1);

    config.health.on_divergence = "stop";
    const auto run = work.path() / "stop";
    const std::string said = error_text([&] { train_to_the_end(run, &config); });
    EXPECT_NE(said.find("[train] step "), std::string::npos);
    EXPECT_NE(said.find("likely cause: steps that are too large"), std::string::npos) << said;
    EXPECT_NE(
        said.find("; the run stops: health.on_divergence is \"stop\"; its checkpoints are in " +
                  (run / "checkpoints").string()),
        std::string::npos)
        << said;
    EXPECT_LT(records(run).size(), 80U);
}

TEST(HealthOfARun, DivergenceGoesBackWithALowerRateAndAResumedRunAgrees) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = diverging(work.path());
    config.health.on_divergence = "rollback";
    config.health.rollback_rate = 0.03;
    const auto run = work.path() / "run";
    train_to_the_end(run, &config);
    const auto lines = records(run);
    ASSERT_EQ(lines.size(), 80U);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        EXPECT_EQ(lines[i].at("step"), i + 1) << "no line twice, none missing";
    }
    EXPECT_EQ(lines.back().at("rollbacks"), 1);
    const Kinds found = warned(run);
    EXPECT_EQ(std::count(found.begin(), found.end(), "rollback"), 1);
    // After the last step's cosine: the rate is what the schedule says, times the factor.
    EXPECT_NEAR(lines.back().at("learning_rate").get<double>(), 0.03, 0.001);
    EXPECT_LT(lines.back().at("train_loss").get<double>(),
              lines.front().at("train_loss").get<double>());

    // The same in processes of a few updates each.
    const auto pieces = work.path() / "pieces";
    const Config* beginning = &config;
    for (int left = 200; left > 0; --left) {
        ThreadPool pool(1);
        const auto device = device::emulator::make_emulator("m4", {}, pool);
        const auto trainer = beginning != nullptr
                                 ? Trainer::create(*beginning, pieces, *device, pool)
                                 : Trainer::resume(pieces, *device, pool);
        beginning = nullptr;
        std::atomic<bool> stop{false};
        int reports = 0;
        if (trainer->run([&](const Report&) { stop = ++reports >= 9; }, stop) ==
            Outcome::finished) {
            break;
        }
    }
    EXPECT_EQ(losses(pieces).size(), losses(run).size());
    EXPECT_EQ(warned(pieces), found);
}

TEST(HealthOfARun, RollbacksEnd) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = diverging(work.path());
    config.health.on_divergence = "rollback";
    config.health.rollback_rate = 1.0;  // the same again
    config.health.rollbacks = 2;
    EXPECT_NE(error_text([&] {
                  train_to_the_end(work.path() / "run", &config);
              }).find("the run stops: it went back 2 times (health.rollbacks)"),
              std::string::npos);
    config.run.save_every = 1000;
    EXPECT_NE(error_text([&] {
                  train_to_the_end(work.path() / "none", &config);
              }).find("there is no sound checkpoint to go back to; lower train.save_every"),
              std::string::npos);
}

TEST(HealthOfARun, StagesAreLookedAtEveryNUpdatesAndSaturationAlways) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    for (const char* pipeline : {"dynamic", "static", "resident"}) {
        SCOPED_TRACE(pipeline);
        Config config = small_config(work.path());
        config.run.steps = 12;
        config.health.range_every = 5;
        config.engine.pipeline = pipeline;
        config.engine.loss_scale.initial = config.engine.loss_scale.maximum = std::ldexp(1.0, 40);
        const auto run = work.path() / pipeline;
        train_to_the_end(run, &config);
        const auto lines = records(run);
        ASSERT_EQ(lines.size(), 12U);
        for (const auto& line : lines) {
            const auto step = line.at("step").get<int>();
            const auto stages = line.value("stages", nlohmann::json::object());
            if (step % 5 == 1) {
                ASSERT_EQ(stages.size(), 4U) << "two stages in two directions";
                EXPECT_GT(stages.at("attention forward").at("largest").get<double>(), 0.1);
                EXPECT_GT(stages.at("feed_forward forward").at("low_share").get<double>(), 0.0);
                EXPECT_GE(stages.at("attention forward").at("largest_block").get<int>(), 0);
            } else if (stages.contains("attention forward")) {
                EXPECT_FALSE(stages.at("attention forward").contains("largest")) << step;
            }
        }
        EXPECT_GT(lines.front().at("stages").at("attention backward").at("saturated"), 0)
            << "a loss scale of 2^40";
        const Kinds found = warned(run);
        EXPECT_EQ(std::count(found.begin(), found.end(), "overflows"), 1);
        EXPECT_EQ(std::count(found.begin(), found.end(), "range"), 1);
    }
}

TEST(HealthOfARun, VanishedProductsAreCountedWhereTheDeviceDoes) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.run.steps = 1;
    config.engine.loss_scale.initial = 1.0;
    const auto vanished = [&](const std::string& name, device::emulator::Counting counting) {
        ThreadPool pool(1);
        device::emulator::Options options;
        options.counting = counting;
        const auto device = device::emulator::make_emulator("m4", options, pool);
        const std::atomic<bool> stop{false};
        Trainer::create(config, work.path() / name, *device, pool)->run([](const Report&) {}, stop);
        return records(work.path() / name)
            .front()
            .at("stages")
            .at("attention backward")
            .at("vanished")
            .get<std::int64_t>();
    };
    EXPECT_GT(vanished("counting", device::emulator::Counting::vanishing), 1000);
    EXPECT_EQ(vanished("not", device::emulator::Counting::products), 0);
}

TEST(HealthOfARun, APlateauOfARunWithoutALearningRate) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.optimizer.learning_rate = 0.0;
    config.health.window = 10;
    train_to_the_end(work.path() / "run", &config);
    EXPECT_EQ(warned(work.path() / "run"), Kinds{"plateau"});
}

TEST(HealthConfig, MistakesAreNamed) {
    const auto refusal = [](const std::string& setting) {
        return error_text([&] { parse_config(small_config("/").text(), "t", {setting}, "/"); });
    };
    EXPECT_EQ(refusal("health.on_divergence=pray"),
              "[train.config] health.on_divergence is 'pray', not warn, stop or rollback");
    EXPECT_EQ(refusal("health.divergence_factor=0.5"),
              "[train.config] health.divergence_factor is 0.5, it must be from 1 to 1000000000000");
    EXPECT_EQ(refusal("health.windows=3"), "[train.config] t: unknown key 'health.windows'");
    Config config = small_config("/");
    config.health.window = 7;
    config.health.on_divergence = "rollback";
    EXPECT_EQ(parse_config(config.text(), "again", {}, "/").text(), config.text());
}

}  // namespace
}  // namespace pome::train
