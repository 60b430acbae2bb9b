#include "train/decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "device/emulator/emulator.h"
#include "device/reference_device.h"
#include "kernels/embedding.h"
#include "kernels/rmsnorm.h"
#include "support/expect_error.h"
#include "train/dynamic_pipeline.h"
#include "train/generate.h"

namespace pome::train {
namespace {

struct Model {
    model::Architecture architecture;
    ParameterSet weights;
};

/// Random weights larger than those of a fresh model, so that attention is not flat.
Model random_model(const model::ModelConfig& config, float factor = 3.0F) {
    Model made{model::architecture(config), ParameterSet(model::architecture(config))};
    Random random(5);
    made.weights.initialize(random);
    for (float& value : made.weights.all()) {
        value *= factor;
    }
    return made;
}

model::ModelConfig grouped() {
    model::ModelConfig config;
    config.width = 64, config.hidden = 100, config.layers = 2, config.heads = 8,
    config.kv_heads = 4, config.vocabulary = 96, config.sequence = 100;
    return config;
}

model::ModelConfig ungrouped() {
    model::ModelConfig config = grouped();
    config.width = 96, config.heads = config.kv_heads = 2;  // heads of 48
    return config;
}

std::vector<std::int32_t> some_tokens(std::int64_t count, std::int64_t vocabulary) {
    Random random(9);
    std::vector<std::int32_t> tokens;
    for (std::int64_t i = 0; i < count; ++i) {
        tokens.push_back(
            static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary))));
    }
    return tokens;
}

/// The final norm's output at the last token, computed over `length` positions at once.
std::vector<float> whole(const Model& model, device::Device& device, ThreadPool& pool,
                         std::vector<std::int32_t> tokens, std::int64_t length) {
    const auto& config = model.architecture.config;
    const std::size_t last = tokens.size() - 1;
    tokens.resize(static_cast<std::size_t>(length), 0);
    model::Form form;
    form.sequence = length;
    DynamicPipeline pipeline(model.architecture, device, pool, form, {});
    pipeline.stage_weights(model.weights);
    const auto size = static_cast<std::size_t>(config.width * length);
    std::vector<float> x(size), normal(size), y(size), roots(tokens.size());
    kernels::embedding_gather(model.weights.values(model.architecture.embedding).data(),
                              config.width, tokens, x.data(), pool);
    const auto normalize = [&](const std::string& norm) {
        kernels::rmsnorm(config.width, length, x.data(), model.weights.values(norm).data(),
                         static_cast<float>(config.norm_epsilon), normal.data(), roots.data(),
                         pool);
    };
    for (std::size_t block = 0; block < model.architecture.blocks.size(); ++block) {
        normalize(model.architecture.blocks[block].norm);
        pipeline.forward(block, normal.data(), y.data());
        for (std::size_t i = 0; i < size; ++i) {
            x[i] += y[i];
        }
    }
    normalize(model.architecture.final_norm);
    std::vector<float> column;
    for (std::int64_t c = 0; c < config.width; ++c) {
        column.push_back(normal[static_cast<std::size_t>(c * length) + last]);
    }
    return column;
}

/// Reads a text in parts that use both programs and that outgrow the cache twice, and compares with
/// the whole text at once: every bit, or within `bound` of the largest channel.
void expect_equal(const Model& model, device::Device& device, ThreadPool& pool,
                  float bound = 0.0F) {
    Decoder decoder(model.architecture, model.weights, device, pool, {});
    const auto tokens = some_tokens(70, model.architecture.config.vocabulary);
    std::size_t known = 0;
    for (const std::size_t part : {1U, 13U, 1U, 1U, 3U, 12U, 1U, 1U, 36U, 1U}) {
        decoder.read(std::span(tokens).subspan(known, part));
        known += part;
        std::int64_t length = 32;
        while (length < static_cast<std::int64_t>(known)) {
            length *= 2;
        }
        const auto want =
            whole(model, device, pool, {tokens.begin(), tokens.begin() + static_cast<long>(known)},
                  length);
        const auto got = decoder.hidden();
        ASSERT_EQ(got.size(), want.size());
        for (std::size_t c = 0; c < want.size(); ++c) {
            const float largest =
                std::fabs(*std::max_element(want.begin(), want.end(), [](float a, float b) {
                    return std::fabs(a) < std::fabs(b);
                }));
            ASSERT_LE(std::fabs(got[c] - want[c]), bound * largest)
                << "channel " << c << " after " << known << " tokens";
            ASSERT_TRUE(std::isfinite(got[c]));
        }
    }
}

// Queries, keys and values pass through fp32 surfaces, where the whole text's stay in double: 2^-24
// of each. Scores are then off by 2^-23 of their sums of magnitudes, here below 100, which moves
// probabilities by as much; two layers, and one bit for what lies between.
TEST(Decoder, IsWithinItsBoundOnTheReference) {
    ThreadPool pool(2);
    const auto device = device::make_reference_device();
    expect_equal(random_model(grouped()), *device, pool, 100 * 2 * 2 * 0x1p-23F);
}

TEST(Decoder, HasTheBitsOfTheWholeTextOnTheEmulator) {
    ThreadPool pool(2);
    for (const auto mode : {device::emulator::Mode::exact, device::emulator::Mode::fast}) {
        // m1 fills heads of 8 and 48 up to multiples of 32.
        for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
            SCOPED_TRACE(chip);
            const auto device = device::emulator::make_emulator(chip, {.mode = mode}, pool);
            expect_equal(random_model(grouped()), *device, pool);
            expect_equal(random_model(ungrouped()), *device, pool);
        }
    }
}

TEST(Decoder, HasTheBitsOfTheWholeTextWithOtherModels) {
    ThreadPool pool(2);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    auto config = grouped();
    config.rope = false;
    expect_equal(random_model(config), *device, pool);
    config = grouped();
    config.kind = "mlp";
    config.rope = false;
    expect_equal(random_model(config), *device, pool);
}

TEST(Decoder, TheClassifierIsWithinItsBound) {
    ThreadPool pool(2);
    const Model model = random_model(grouped());
    const auto tokens = some_tokens(20, model.architecture.config.vocabulary);
    const std::int64_t width = model.architecture.config.width;
    for (const bool on_engine : {false, true}) {
        const auto device = on_engine ? device::emulator::make_emulator("m4", {}, pool)
                                      : device::make_reference_device();
        Decoder decoder(model.architecture, model.weights, *device, pool, {});
        decoder.read(tokens);
        const auto logits = decoder.logits();
        const auto head = model.weights.values(model.architecture.head);
        for (std::size_t v = 0; v < logits.size(); ++v) {
            double sum = 0.0, size = 0.0, subnormal = 0.0;
            for (std::int64_t c = 0; c < width; ++c) {
                const auto h = static_cast<double>(decoder.hidden()[static_cast<std::size_t>(c)]);
                const auto w = static_cast<double>(
                    head[v * static_cast<std::size_t>(width) + static_cast<std::size_t>(c)]);
                sum += h * w;
                size += std::fabs(h * w);
                subnormal += std::fabs(h) * 0x1p-25;
            }
            // Weights to fp16: 2^-11 of each, or half of the smallest; then C fp32 roundings.
            const double weights = on_engine ? 0x1p-11 * size + subnormal : 0.0;
            const double bound = weights + static_cast<double>(width + 1) * 0x1p-24 * size * 1.01;
            ASSERT_LE(std::fabs(static_cast<double>(logits[v]) - sum), bound);
        }
    }
}

TEST(Decoder, ForgetsWhenCleared) {
    ThreadPool pool(1);
    const Model model = random_model(grouped());
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    Decoder decoder(model.architecture, model.weights, *device, pool, {});
    const auto tokens = some_tokens(30, model.architecture.config.vocabulary);
    decoder.read(std::span(tokens).first(12));
    const std::vector<float> first(decoder.hidden().begin(), decoder.hidden().end());
    decoder.read(std::span(tokens).subspan(12));
    decoder.clear();
    EXPECT_EQ(decoder.positions(), 0);
    decoder.read(std::span(tokens).first(12));
    EXPECT_EQ(first, std::vector<float>(decoder.hidden().begin(), decoder.hidden().end()));
}

TEST(Decoder, RefusesWhatTheModelHasNoPlaceFor) {
    ThreadPool pool(1);
    const Model model = random_model(grouped());
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    Decoder decoder(model.architecture, model.weights, *device, pool, {});
    test::expect_error(Code::invalid_argument,
                       "[train.generate] no token was read: give a prompt of one",
                       [&] { decoder.logits(); });
    const std::vector<std::int32_t> outside{1, 96};
    test::expect_error(Code::invalid_argument,
                       "[train.generate] token id 96 is outside the vocabulary of 96",
                       [&] { decoder.read(outside); });
    EXPECT_EQ(decoder.positions(), 0);
    decoder.read(some_tokens(99, 96));
    test::expect_error(Code::invalid_argument,
                       "[train.generate] 2 tokens after 99 are more than the model's 100 positions",
                       [&] { decoder.read(some_tokens(2, 96)); });
    decoder.read(some_tokens(1, 96));
    EXPECT_EQ(decoder.positions(), 100);
}

TEST(Generator, EndsWithTheModelsPositions) {
    ThreadPool pool(1);
    auto config = grouped();
    config.sequence = 40;
    const Model model = random_model(config);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    Generator generator(model.architecture, model.weights, *device, pool, {});
    GenerateOptions options;
    options.tokens = 1000;
    options.temperature = 0.0;
    std::vector<std::int32_t> first, second;
    generator.run({7}, options, [&](std::int32_t token) { first.push_back(token); });
    generator.run({7}, options, [&](std::int32_t token) { second.push_back(token); });
    EXPECT_EQ(first.size(), 40U);  // the last one is predicted from all forty and never read
    EXPECT_EQ(first, second);
    test::expect_error(
        Code::invalid_argument,
        "[train.generate] the prompt has 41 tokens, the model 40 positions; shorten it",
        [&] { generator.run(some_tokens(41, 96), options, [](std::int32_t) {}); });
}

}  // namespace
}  // namespace pome::train
