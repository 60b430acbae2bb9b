#include "train/stepwise_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/file.h"
#include "base/random.h"
#include "device/emulator/emulator.h"
#include "device/reference_device.h"
#include "mil/builder.h"
#include "mil/text.h"

namespace pome::train {
namespace {

using testing::HasSubstr;

constexpr std::int64_t inputs = 8, hidden = 16, classes = 4, positions = 32;

/// y = w2 relu(w1 x + b1), with weights in files that are not there: they start random.
mil::Program perceptron(DType dtype) {
    mil::Builder b;
    const auto weight = [&](const std::string& name, const Shape& shape) {
        return b.constant(mil::Literal::blob(mil::Type::tensor(dtype, shape),
                                             {"@model_path/weights/" + name + ".bin", 64}),
                          name);
    };
    const auto x = b.input("x", mil::Type::tensor(dtype, {1, inputs, 1, positions}));
    const auto w1 = weight("w1", {1, 1, hidden, inputs}), b1 = weight("b1", {1, hidden, 1, 1}),
               w2 = weight("w2", {1, 1, classes, hidden});
    const auto h = b.add(
        b.reshape(b.matmul(w1, b.reshape(x, {1, 1, inputs, positions})), {1, hidden, 1, positions}),
        b1);
    const auto y = b.matmul(w2, b.reshape(b.unary("relu", h), {1, 1, hidden, positions}));
    b.output(b.rename(b.reshape(y, {1, classes, 1, positions}), "y"));
    return mil::make_program(b.take());
}

std::shared_ptr<TrainableModel> model_of(Loss loss, DType dtype = DType::fp16,
                                         std::vector<std::string> fixed = {}) {
    return std::make_shared<TrainableModel>(trainable_from(
        model_from_program(perceptron(dtype), {}, {loss, std::move(fixed), 7}), "perceptron"));
}

ThreadPool& pool() {
    static ThreadPool one(2);
    return one;
}

StepwiseModel::Options options(const std::string& pipeline, std::int64_t sequence = 0) {
    return {pipeline, sequence, {}};
}

OpenDevice emulator(const std::string& chip) {
    return [chip] { return device::emulator::make_emulator(chip, {}, pool()); };
}

HostTensor numbers(const Shape& shape, std::uint64_t seed) {
    Random random(seed);
    HostTensor tensor{DType::fp32, shape, {}, {}};
    for (std::int64_t i = 0; i < shape.elements(); ++i) {
        tensor.floats.push_back(static_cast<float>(random.normal() * 0.5));
    }
    return tensor;
}

HostTensor labels() {
    HostTensor tensor{DType::int32, Shape{positions}, {}, {}};
    for (std::int64_t i = 0; i < positions; ++i) {
        tensor.integers.push_back(i == 5 ? -1 : static_cast<std::int32_t>(i * 7 % classes));
    }
    return tensor;
}

const Shape x_shape{1, inputs, 1, positions}, y_shape{1, classes, 1, positions};

HostTensor target_for(Loss loss) {
    return loss == Loss::cross_entropy ? labels() : numbers(y_shape, 3);
}

double loss_of(StepwiseModel& model, Loss loss) {
    model.forward(numbers(x_shape, 2));
    return model.backward(target_for(loss)).loss;
}

class GradientsOf : public testing::TestWithParam<Loss> {};

TEST_P(GradientsOf, AreCentralDifferencesOfTheLossOnTheReference) {
    const auto weights = model_of(GetParam(), DType::fp32);
    const auto open = [] { return device::make_reference_device(); };
    const auto model = StepwiseModel::make(weights, open, pool(), options("static"));
    model->forward(numbers(x_shape, 2));
    const Gradients gradients = model->backward(target_for(GetParam()));
    for (std::size_t i = 0; i < weights->weights.size(); ++i) {
        const std::size_t count = weights->weights.values(i).size();
        for (std::size_t k = 0; k < count; k += count / 5) {
            float& w = weights->weights.values(i)[k];
            const float before = w, step = 0x1p-10F;
            const auto moved = [&](float to) {
                w = to;
                ++weights->revision;
                return loss_of(*model, GetParam());
            };
            const double difference = (moved(before + step) - moved(before - step)) / (2 * step);
            moved(before);
            // Surfaces are fp32: 2^-24 of the loss over 2^-9, and corners of relu within the step.
            EXPECT_NEAR(gradients.values.values(i)[k], difference, 5e-4)
                << weights->weights.parameter(i).name << "[" << k << "]";
        }
    }
}

TEST_P(GradientsOf, TheEnginesPipelinesAgreeBitForBit) {
    std::vector<std::vector<double>> losses;
    for (const std::string pipeline : {"dynamic", "static"}) {
        const auto weights = model_of(GetParam());
        const auto model = StepwiseModel::make(weights, emulator("m4"), pool(), options(pipeline));
        EXPECT_EQ(model->pipeline(), pipeline);
        Optimizer optimizer(weights->weights);
        auto& row = losses.emplace_back();
        for (int step = 0; step < 8; ++step) {
            model->forward(numbers(x_shape, 2));
            const Gradients gradients = model->backward(target_for(GetParam()));
            row.push_back(gradients.loss);
            optimizer.update({.adamw = true, .learning_rate = 1e-2}, gradients.values, *weights,
                             pool());
        }
        EXPECT_LT(row.back(), 0.9 * row.front());
    }
    EXPECT_EQ(losses[0], losses[1]);
}

INSTANTIATE_TEST_SUITE_P(Losses, GradientsOf,
                         testing::Values(Loss::mean_squared_error, Loss::cross_entropy),
                         [](const auto& tested) { return std::string(loss_name(tested.param)); });

TEST(StepwiseModel, AStaticPipelineOutlivesTheCompilesOfAProcess) {
    const auto weights = model_of(Loss::mean_squared_error);
    const auto model = StepwiseModel::make(weights, emulator("m1"), pool(), options("static"));
    const auto limit = emulator("m1")()->profile().limits.compile_budget;
    ASSERT_GT(limit, 0);
    const double loss = loss_of(*model, Loss::mean_squared_error);
    for (std::int64_t updates = 0; updates < limit; ++updates) {  // two compiles each
        ++weights->revision;
        EXPECT_EQ(loss_of(*model, Loss::mean_squared_error), loss);
    }
    EXPECT_GT(model->compiles(), limit);
}

TEST(StepwiseModel, AutoAsksTheChip) {
    const auto chosen = [](const std::string& chip) {
        return StepwiseModel::make(model_of(Loss::mean_squared_error), emulator(chip), pool(), {})
            ->pipeline();
    };
    EXPECT_EQ(chosen("m4"), "dynamic");
    EXPECT_EQ(chosen("m1"), "static");
    try {
        StepwiseModel::make(model_of(Loss::mean_squared_error), emulator("m1"), pool(),
                            options("dynamic"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Code::unsupported);
        EXPECT_THAT(error.text(), HasSubstr("use the static pipeline"));
    }
}

TEST(StepwiseModel, FixedWeightsStayAndComeBackFromTheFile) {
    const auto weights = model_of(Loss::mean_squared_error, DType::fp16, {"w2"});
    ASSERT_EQ(weights->weights.size(), 2U);
    const auto model = StepwiseModel::make(weights, emulator("m4"), pool(), {});
    const auto before = model->forward(numbers(x_shape, 2)).floats;
    const TemporaryDirectory folder;
    save_trainable(*weights, folder.path() / "m.ane");
    const auto again = std::make_shared<TrainableModel>(load_trainable(folder.path() / "m.ane"));
    const auto other = StepwiseModel::make(again, emulator("m4"), pool(), {});
    EXPECT_EQ(other->forward(numbers(x_shape, 2)).floats, before);
    EXPECT_THROW(save_trainable(*weights, folder.path() / "m.bin"), Error);
}

TEST(StepwiseModel, WhatDoesNotFitIsRefusedInWords) {
    const auto weights = model_of(Loss::cross_entropy);
    const auto model = StepwiseModel::make(weights, emulator("m4"), pool(), {});
    const auto text = [&](auto call) -> std::string {
        try {
            call();
        } catch (const Error& error) {
            return error.message();
        }
        return "done";
    };
    EXPECT_EQ(text([&] { model->backward(labels()); }),
              "a backward pass needs a forward pass with the same weights before it");
    EXPECT_EQ(text([&] { model->forward(labels()); }),
              "the input is int32 [32], the model's is fp32 [1,8,1,32]");
    model->forward(numbers(x_shape, 2));
    EXPECT_EQ(text([&] { model->backward(numbers(y_shape, 1)); }),
              "the target is fp32 [1,4,1,32], the model's is int32 [32]");
    HostTensor wrong = labels();
    wrong.integers[3] = 4;
    EXPECT_EQ(text([&] { model->backward(wrong); }),
              "target 4 is no class of 0 to 3, nor -1 (does not count)");
    Optimizer optimizer(weights->weights);
    Gradients gradients = model->backward(labels());
    const auto before = weights->weights.values(0)[0];
    EXPECT_EQ(
        text([&] { optimizer.update({.learning_rate = -1}, gradients.values, *weights, pool()); }),
        "learning rate is -1, not a number from 0 to below 1000000");
    gradients.values.values(0)[0] = NAN;
    EXPECT_EQ(text([&] { optimizer.update({}, gradients.values, *weights, pool()); }),
              "a gradient is not finite; the weights were left as they are");
    EXPECT_EQ(weights->weights.values(0)[0], before);
}

TEST(StepwiseModel, GradientsThatOverflowAreComputedAgainWithASmallerScale) {
    const auto weights = model_of(Loss::mean_squared_error);
    const auto gradients_at = [&](double scale) {
        LossScaleConfig config;
        config.initial = scale;
        const auto model =
            StepwiseModel::make(weights, emulator("m4"), pool(), {"dynamic", 0, config});
        model->forward(numbers(x_shape, 2));
        HostTensor far = numbers(y_shape, 3);
        for (float& value : far.floats) {
            value *= 64.0F;
        }
        auto gradients = model->backward(far);
        return std::pair(std::move(gradients), model->loss_scale());
    };
    const auto [small, kept] = gradients_at(16.0);
    const auto [large, lowered] = gradients_at(65536.0);
    EXPECT_EQ(kept, 16.0);
    EXPECT_LT(lowered, 65536.0);
    for (std::size_t i = 0; i < small.values.all().size(); ++i) {
        EXPECT_NEAR(small.values.all()[i], large.values.all()[i],
                    0.02 * std::fabs(small.values.all()[i]) + 1e-3);
    }
}

TEST(StepwiseModel, AnImpossibleTargetLeavesTheScale) {
    const auto weights = model_of(Loss::mean_squared_error);
    const auto model = StepwiseModel::make(weights, emulator("m4"), pool(), options("dynamic"));
    model->forward(numbers(x_shape, 2));
    HostTensor infinite = numbers(y_shape, 3);
    infinite.floats[0] = INFINITY;
    const double scale = model->loss_scale();
    try {
        model->backward(infinite);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Code::diverged);
    }
    EXPECT_EQ(model->loss_scale(), scale);
}

TEST(StepwiseModel, ACheckpointOfAnotherModelIsRefusedAndChangesNothing) {
    const TemporaryDirectory folder;
    const auto weights = model_of(Loss::mean_squared_error);
    const auto model = StepwiseModel::make(weights, emulator("m4"), pool(), {});
    Optimizer optimizer(weights->weights);
    save_checkpoint(folder.path() / "c", *model, optimizer);
    const auto other = model_of(Loss::mean_squared_error, DType::fp16, {"w1"});
    const auto smaller = StepwiseModel::make(other, emulator("m4"), pool(), {});
    Optimizer its(other->weights);
    load_checkpoint(folder.path() / "c", *smaller, its);  // it holds all that this one has
    const auto revision = weights->revision;
    save_checkpoint(folder.path() / "s", *smaller, its);
    try {
        load_checkpoint(folder.path() / "s", *model, optimizer);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Code::checkpoint_mismatch);
        EXPECT_THAT(error.text(), HasSubstr("tensor 'w1' is missing"));
    }
    EXPECT_EQ(weights->revision, revision);
}

TEST(TrainableModel, ProgramsThatAreNoModelAreRefused) {
    const auto refused = [](formats::AneModel file) -> std::string {
        try {
            trainable_from(file, "m.ane");
        } catch (const Error& error) {
            return error.text();
        }
        return "read";
    };
    const auto good = model_from_program(perceptron(DType::fp16), {}, {Loss::cross_entropy, {}, 1});
    EXPECT_EQ(refused(good), "read");
    auto changed = good;
    changed.weights[0].shape = {hidden * inputs};
    EXPECT_THAT(refused(changed), HasSubstr("weight 'w1' is [128], the program's input of that "
                                            "name is fp16 [1,1,16,8]"));
    changed = good;
    changed.weights.erase(changed.weights.begin());
    EXPECT_THAT(refused(changed), HasSubstr("the program must have one input of fp16 or fp32"));
    changed = good;
    changed.weights[1].values[0] = NAN;
    EXPECT_THAT(refused(changed), HasSubstr("weight 'b1' has elements that are not finite"));
    changed = good;
    changed.program = "program(1.3)\n{\n";
    EXPECT_THAT(refused(changed), HasSubstr("m.ane (program):"));
}

TEST(TrainableModel, DamagedFilesSayWhatHelps) {
    const TemporaryDirectory folder;
    const auto path = folder.path() / "m.ane";
    write_file_atomic(path, std::vector<std::byte>(192));
    try {
        load_trainable(path);
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.text(), HasSubstr("64-byte header"));
        EXPECT_THAT(error.text(), HasSubstr("pome convert"));
    }
    write_file_atomic(path, "no model at all, but longer than a header of sixty-four bytes is");
    EXPECT_THROW(load_trainable(path), Error);
    EXPECT_THROW(load_trainable(folder.path() / "none.ane"), Error);
}

TEST(StepwiseModel, ALanguageModelLearnsCallByCallTheSameOnBothPipelines) {
    const char* data = std::getenv("POME_TEST_DATA");
    if (data == nullptr) {
        GTEST_SKIP() << "set POME_TEST_DATA";
    }
    std::vector<std::vector<double>> losses;
    for (const std::string pipeline : {"dynamic", "static"}) {
        const auto weights = std::make_shared<TrainableModel>(
            load_trainable(std::filesystem::path(data) / "llama2c/stories260K.bin"));
        const auto model =
            StepwiseModel::make(weights, emulator("m4"), pool(), options(pipeline, 32));
        HostTensor tokens{DType::int32, Shape{32}, {}, {}}, next = tokens;
        for (std::int32_t i = 0; i < 32; ++i) {
            tokens.integers.push_back(i == 0 ? 1 : 100 + i * 7);
            next.integers.push_back(i == 31 ? -1 : 100 + (i + 1) * 7);
        }
        Optimizer optimizer(weights->weights);
        auto& row = losses.emplace_back();
        for (int step = 0; step < 3; ++step) {
            const auto logits = model->forward(tokens);
            EXPECT_EQ(logits.shape, (Shape{1, 512, 1, 32}));
            const auto gradients = model->backward(next);
            row.push_back(gradients.loss);
            // The loss is that of the logits that forward() gave.
            double sum = 0.0;
            for (std::size_t s = 0; s < 31; ++s) {
                double total = 0.0;
                for (std::size_t v = 0; v < 512; ++v) {
                    total += std::exp(static_cast<double>(logits.floats[v * 32 + s]));
                }
                sum += std::log(total) -
                       logits.floats[static_cast<std::size_t>(next.integers[s]) * 32 + s];
            }
            EXPECT_NEAR(gradients.loss, sum / 31, 1e-5);
            optimizer.update({.adamw = true, .learning_rate = 1e-3}, gradients.values, *weights,
                             pool());
        }
        EXPECT_LT(row.back(), row.front());
    }
    EXPECT_EQ(losses[0], losses[1]);
}

}  // namespace
}  // namespace pome::train
