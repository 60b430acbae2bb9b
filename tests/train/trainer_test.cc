#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "device/reference_device.h"
#include "formats/token_shard.h"
#include "support/test_data.h"
#include "train/dynamic_pipeline.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

/// The cosine between a one-block model's gradients on the emulator and central differences of its
/// loss on the reference device.
double gradient_cosine(bool scaled) {
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
    // Rows of 16 elements: e5rt takes them.
    const auto emulator = device::emulator::make_emulator("m4/e5rt", {}, pool);
    DynamicPipeline engine(architecture, *emulator, pool, form,
                           {.training = true, .scale_products = scaled});
    LanguageModel on_engine(architecture, engine, pool, 16);
    engine.stage_weights(weights);
    const auto backward = [&](double scale) {
        on_engine.forward(tokens, targets, weights);
        std::fill(gradients.all().begin(), gradients.all().end(), 0.0F);
        on_engine.backward(scale, weights, gradients);
    };
    const double loss_scale = scaled ? 1.0 : 1024.0;
    if (scaled) {  // nothing but the products' own scales lifts the gradients
        engine.set_measuring(true);
        backward(loss_scale);
        engine.set_measuring(false);
    }
    backward(loss_scale);

    const auto reference = device::make_reference_device();
    DynamicPipeline oracle(architecture, *reference, pool, form, {});
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
                     gradient = static_cast<double>(gradients.all()[i]) / loss_scale;
        dot += difference * gradient;
        own += gradient * gradient;
        numeric += difference * difference;
    }
    return dot / std::sqrt(own * numeric);
}

TEST(Trainer, GradientsOnTheEmulatorPointWhereCentralDifferencesDo) {
    EXPECT_GE(gradient_cosine(false), 0.999);
}

TEST(Trainer, SoDoThoseWhoseProductsCarryTheirOwnScales) {
    EXPECT_GE(gradient_cosine(true), 0.999);
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

}  // namespace
}  // namespace pome::train
