#include "train/digits.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "device/emulator/emulator.h"
#include "device/reference_device.h"
#include "support/test_data.h"
#include "train/digits_data.h"
#include "train/surface_io.h"

namespace pome::train {
namespace {

DigitsReport train(const std::vector<std::string>& settings) {
    std::vector<std::string> all{"digits.hidden=64",           "digits.steps=160",
                                 "digits.train_pictures=2048", "digits.test_pictures=512",
                                 "digits.report_every=160",    "optimizer.learning_rate=3e-3"};
    all.insert(all.end(), settings.begin(), settings.end());
    const auto config = parse_digits_config("[digits]\n", "t.toml", all);
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    return run_digits(config, *device, pool, [](const DigitsReport&) {});
}

TEST(Digits, AreTheSameForASeedAndNotForAnother) {
    const Digits a = draw_digits(50, 3), b = draw_digits(50, 3), c = draw_digits(50, 4);
    EXPECT_EQ(a.images, b.images);
    EXPECT_EQ(a.labels, b.labels);
    EXPECT_NE(a.images, c.images);
    for (const float value : a.images) {
        EXPECT_TRUE(value >= 0.0F && value <= 1.0F);
    }
}

TEST(Digits, ThePerceptronLearnsOnTheEngineAsWithFp32WeightsOnTheHost) {
    const auto master = train({"digits.state=master"});
    const auto resident = train({});
    EXPECT_GT(resident.accuracy, 0.65);
    EXPECT_NEAR(resident.accuracy, master.accuracy, 0.02);
    EXPECT_NEAR(resident.loss / master.loss, 1.0, 0.01);
    EXPECT_EQ(resident.compiles, 4);  // step, forward, measurement, update
}

TEST(Digits, TheConvolutionLearnsOnTheEngine) {
    const auto resident =
        train({"digits.model=conv", "digits.channels=4", "digits.steps=80", "digits.pictures=32"});
    EXPECT_GT(resident.accuracy, 0.55);
}

TEST(Digits, AnOverflowSkipsTheUpdateAndHalvesTheScale) {
    const auto report = train(
        {"digits.steps=12", "engine.loss_scale=67108864", "engine.loss_scale_maximum=67108864"});
    EXPECT_GT(report.skipped, 0);
    EXPECT_LT(report.skipped, 12);
    EXPECT_TRUE(std::isfinite(report.loss));
    EXPECT_EQ(report.loss_scale, std::ldexp(67108864.0, -static_cast<int>(report.skipped)));
}

TEST(Digits, AreRefusedWhereWeightsCannotBeInputs) {
    ThreadPool pool(1);
    const auto m1 = device::emulator::make_emulator("m1", {}, pool);
    EXPECT_EQ(
        error_text([&] { run_digits({}, *m1, pool, [](const DigitsReport&) {}); }),
        "[train.digits] emulator:m1 does not run programs whose weights are inputs (capability "
        "runtime_weights), and weights that lie in surfaces are; use another engine.device");
    EXPECT_EQ(m1->compiles(), 0);
}

/// The step's gradients against central differences of its own losses, in fp32.
void expect_gradients(const model::Classifier& classifier, std::int64_t pictures) {
    ThreadPool pool(1);
    const auto device = device::make_reference_device();
    const auto step = device->compile(
        {device::program_for(classification_step(classifier), device->profile()), {}});
    Random random(11);
    std::map<std::string, device::Surface> surfaces;
    device::Bindings bindings;
    for (const auto& input : step->inputs()) {
        auto& surface = surfaces.try_emplace(input.name, input.type).first->second;
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            surface.floats()[i] = static_cast<float>(0.3 * random.normal());
        }
        bindings.inputs[input.name] = &surface;
    }
    auto& target = surfaces.at("target");
    std::fill(target.floats(), target.floats() + target.elements(), 0.0F);
    for (std::int64_t n = 0; n < pictures; ++n) {
        target.floats()[(n * 3 % digit_classes) * pictures + n] = 1.0F;
    }
    surfaces.at("factor").floats()[0] = 1.0F;
    for (const auto& output : step->outputs()) {
        bindings.outputs[output.name] =
            &surfaces.try_emplace(output.name, output.type).first->second;
    }
    const auto loss = [&] {
        step->evaluate(bindings);
        double sum = 0.0;
        for (std::int64_t n = 0; n < pictures; ++n) {
            sum -= std::log(static_cast<double>(surfaces.at("probability").floats()[n]));
        }
        return sum;
    };
    for (const auto& weight : classifier.weights) {
        auto& values = surfaces.at(weight.name);
        for (int trial = 0; trial < 4; ++trial) {
            const auto at = static_cast<std::int64_t>(
                random.below(static_cast<std::uint64_t>(values.elements())));
            const float before = values.floats()[at];
            constexpr float h = 3e-4F;
            values.floats()[at] = before + h;
            const double above = loss();
            values.floats()[at] = before - h;
            const double below = loss();
            values.floats()[at] = before;
            loss();
            const auto derived = static_cast<double>(surfaces.at("d_" + weight.name).floats()[at]);
            EXPECT_NEAR(derived, (above - below) / (2.0 * static_cast<double>(h)),
                        2e-2 * std::max(0.1, std::fabs(derived)))
                << weight.name;
        }
    }
}

TEST(Digits, TheStepsGradientsAreThoseOfItsLosses) {
    expect_gradients(model::mlp_classifier(40, 12, digit_classes, 6, DType::fp32), 6);
    expect_gradients(model::conv_classifier(10, 3, digit_classes, 4, DType::fp32), 4);
}

TEST(DigitsConfig, RefusesWhatItCannotRun) {
    const auto refusal = [](const std::string& text) {
        return error_text([&] { parse_digits_config(text, "t.toml", {}); });
    };
    EXPECT_EQ(refusal("[digits]\nwidth = 3\n"),
              "[train.config] t.toml: unknown key 'digits.width'");
    EXPECT_EQ(refusal("[digits]\nmodel = \"lstm\"\n"),
              "[train.digits] digits.model is 'lstm', not mlp or conv");
    EXPECT_EQ(refusal("[digits]\nstate = \"fp8\"\n"),
              "[train.digits] digits.state is 'fp8', not compensated, weights, plain or master");
    EXPECT_EQ(refusal("[digits]\npictures = 0\n"),
              "[train.digits] digits.pictures is 0, it must be from 1 to 4096");
    EXPECT_TRUE(is_digits_config("[digits]\n"));
    EXPECT_FALSE(is_digits_config("[tiny]\n"));
    EXPECT_FALSE(is_digits_config("[digits"));
}

}  // namespace
}  // namespace pome::train
