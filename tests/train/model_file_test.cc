#include "train/model_file.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "device/reference_device.h"
#include "formats/llama2c_model.h"
#include "support/blzt_bytes.h"
#include "support/expect_error.h"
#include "support/test_data.h"
#include "train/blzt_model.h"
#include "train/dynamic_pipeline.h"
#include "train/language_model.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

using test::BlztFile;

BlztFile version_4() {
    BlztFile file;
    file.version = 4, file.kv_heads = 2, file.head_size = 2;
    return file;
}

/// Random weights, and their path in `work`.
std::filesystem::path write_blzt(const TemporaryDirectory& work, const BlztFile& file) {
    Random random(7);
    const auto path = work.path() / "checkpoint.bin";
    write_file_atomic(
        path, test::blzt_bytes(file, [&] { return static_cast<float>(0.5 * random.normal()); }));
    return path;
}

constexpr int positions = 16;
const std::vector<std::int32_t> tokens{1, 4, 7, 2, 9, 0, 3, 3, 8, 5, 6, 1, 2, 4, 9, 7};
const std::vector<std::int32_t> targets{4, 7, 2, 9, 0, 3, 3, 8, 5, 6, 1, 2, 4, 9, 7, 0};

/// The forward pass of the published trainers in double precision, one loop after another.
class TrainersModel {
  public:
    explicit TrainersModel(const formats::BlztCheckpoint& checkpoint) : c_(checkpoint) {}

    double loss() {
        std::vector<std::vector<double>> x(positions);
        for (std::size_t s = 0; s < positions; ++s) {
            for (std::int64_t i = 0; i < c_.width; ++i) {
                x[s].push_back(weight("embedding.weight", tokens[s] * c_.width + i));
            }
        }
        const double alpha =
            c_.version == 4 ? 1.0 / std::sqrt(2.0 * static_cast<double>(c_.layers)) : 1.0;
        for (std::int64_t layer = 0; layer < c_.layers; ++layer) {
            prefix_ = "layers." + std::to_string(layer) + ".";
            add(x, attention(normalized(x, prefix_ + "attention_norm.weight")), alpha);
            add(x, feed_forward(normalized(x, prefix_ + "ffn_norm.weight")), alpha);
        }
        double sum = 0.0;
        const auto last = normalized(x, "norm.weight");
        for (std::size_t s = 0; s < positions; ++s) {
            const auto logits = linear("embedding.weight", last[s]);
            double total = 0.0;
            for (const double logit : logits) {
                total += std::exp(logit);
            }
            sum += std::log(total) - logits[static_cast<std::size_t>(targets[s])];
        }
        return sum / positions;
    }

  private:
    using Row = std::vector<double>;

    double weight(const std::string& name, std::int64_t at) const {
        return static_cast<double>(
            c_.tensors.find(name)->second.values[static_cast<std::size_t>(at)]);
    }
    Row linear(const std::string& name, const Row& x) const {
        const auto inner = static_cast<std::int64_t>(x.size());
        Row y(c_.tensors.find(name)->second.values.size() / x.size());
        for (std::size_t o = 0; o < y.size(); ++o) {
            for (std::int64_t i = 0; i < inner; ++i) {
                y[o] += weight(name, static_cast<std::int64_t>(o) * inner + i) *
                        x[static_cast<std::size_t>(i)];
            }
        }
        return y;
    }
    std::vector<Row> normalized(const std::vector<Row>& x, const std::string& gain) const {
        auto y = x;
        for (Row& row : y) {
            double squares = 0.0;
            for (const double v : row) {
                squares += v * v;
            }
            const double r = 1.0 / std::sqrt(squares / static_cast<double>(row.size()) + 1e-5);
            for (std::size_t i = 0; i < row.size(); ++i) {
                row[i] *= r * weight(gain, static_cast<std::int64_t>(i));
            }
        }
        return y;
    }
    static void add(std::vector<Row>& x, const std::vector<Row>& branch, double alpha) {
        for (std::size_t s = 0; s < x.size(); ++s) {
            for (std::size_t i = 0; i < x[s].size(); ++i) {
                x[s][i] += alpha * branch[s][i];
            }
        }
    }
    std::vector<Row> feed_forward(std::vector<Row> x) const {
        for (Row& row : x) {
            Row h1 = linear(prefix_ + "feed_forward.w1.weight", row);
            const Row h3 = linear(prefix_ + "feed_forward.w3.weight", row);
            for (std::size_t i = 0; i < h1.size(); ++i) {
                h1[i] = h1[i] / (1.0 + std::exp(-h1[i])) * h3[i];
            }
            row = linear(prefix_ + "feed_forward.w2.weight", h1);
        }
        return x;
    }
    /// Version 4 rotates pairs (2i, 2i + 1) of every head; version 2 does not.
    void rotate(Row& row, std::size_t position) const {
        const auto size = static_cast<std::size_t>(c_.head_size);
        for (std::size_t i = 0; c_.version == 4 && i < row.size(); i += 2) {
            const double angle =
                static_cast<double>(position) *
                std::pow(10000.0, -static_cast<double>(i % size) / static_cast<double>(size));
            const double even = row[i], odd = row[i + 1];
            row[i] = even * std::cos(angle) - odd * std::sin(angle);
            row[i + 1] = even * std::sin(angle) + odd * std::cos(angle);
        }
    }
    std::vector<Row> attention(const std::vector<Row>& x) const {
        std::vector<Row> q, k, v, y;
        for (std::size_t s = 0; s < x.size(); ++s) {
            q.push_back(linear(prefix_ + "attention.wq.weight", x[s]));
            k.push_back(linear(prefix_ + "attention.wk.weight", x[s]));
            v.push_back(linear(prefix_ + "attention.wv.weight", x[s]));
            rotate(q[s], s);
            rotate(k[s], s);
        }
        const auto size = static_cast<std::size_t>(c_.head_size);
        for (std::size_t s = 0; s < x.size(); ++s) {
            Row heads(q[s].size());
            for (std::size_t h = 0; h < static_cast<std::size_t>(c_.heads); ++h) {
                // Tiled by concat(k, k, ...): head h reads h mod kv_heads.
                const std::size_t from = h % static_cast<std::size_t>(c_.kv_heads) * size;
                Row p;
                double total = 0.0;
                for (std::size_t t = 0; t <= s; ++t) {
                    double dot = 0.0;
                    for (std::size_t i = 0; i < size; ++i) {
                        dot += q[s][h * size + i] * k[t][from + i];
                    }
                    p.push_back(std::exp(dot / std::sqrt(static_cast<double>(size))));
                    total += p.back();
                }
                for (std::size_t t = 0; t <= s; ++t) {
                    for (std::size_t i = 0; i < size; ++i) {
                        heads[h * size + i] += p[t] / total * v[t][from + i];
                    }
                }
            }
            y.push_back(linear(prefix_ + "attention.wo.weight", heads));
        }
        return y;
    }

    const formats::BlztCheckpoint& c_;
    std::string prefix_;
};

double loss_of(const LoadedModel& loaded) {
    ThreadPool pool(1);
    const auto device = device::make_reference_device();
    model::Form form;
    form.sequence = positions;
    DynamicPipeline pipeline(loaded.architecture, *device, pool, form, {});
    pipeline.stage_weights(loaded.weights);
    LanguageModel language_model(loaded.architecture, pipeline, pool, positions);
    return language_model.forward(tokens, targets, loaded.weights) / positions;
}

void expect_equal_weights(const LoadedModel& a, const LoadedModel& b) {
    ASSERT_EQ(a.weights.size(), b.weights.size());
    for (std::size_t i = 0; i < a.weights.size(); ++i) {
        EXPECT_EQ(a.weights.parameter(i).name, b.weights.parameter(i).name);
        EXPECT_TRUE(std::ranges::equal(a.weights.values(i), b.weights.values(i)))
            << a.weights.parameter(i).name;
    }
}

TEST(ModelFile, BlztModelsComputeWhatTheirTrainersCompute) {
    const TemporaryDirectory work;
    for (const BlztFile& file : {BlztFile{}, version_4()}) {
        const auto path = write_blzt(work, file);
        const auto checkpoint = formats::read_blzt(path);
        const double expected = TrainersModel(checkpoint).loss();
        const LoadedModel loaded = load_model(path);
        EXPECT_EQ(loaded.architecture.config.rope, file.version == 4);
        EXPECT_NEAR(loss_of(loaded), expected, 1e-5) << "version " << file.version;
        // The same tensors in a model that knows nothing of those trainers compute another loss.
        auto plain = loaded.architecture.config;
        plain.rope = true;
        const double unadapted = loss_of(from_tensors(plain, checkpoint.tensors, "c"));
        EXPECT_GT(std::abs(unadapted - expected), 5e-3) << "version " << file.version;
    }
}

TEST(ModelFile, SaysWhatABlztCheckpointLacksAndWhatWasAdapted) {
    const TemporaryDirectory work;
    using Notes = std::vector<std::string>;
    const std::string left_behind =
        "Adam's moments after 47 updates, step 480 of 1000 and the learning rate 0.0003 are left "
        "behind: training that starts from the weights begins a new optimizer and schedule";
    const auto two = load_model(write_blzt(work, {}));
    EXPECT_EQ(two.kind, "BLZT checkpoint, version 2");
    EXPECT_EQ(two.notes,
              (Notes{"its trainer gives attention no rotary positions (RoPE), whatever the weights "
                     "it started from were trained with; neither does this model (model.rope = "
                     "false)",
                     left_behind}));
    const auto four = load_model(write_blzt(work, version_4()));
    EXPECT_EQ(four.kind, "BLZT checkpoint, version 4");
    EXPECT_EQ(
        four.notes,
        (Notes{"its trainer multiplies both branches of a layer by 1/sqrt(2 layers) = 0.5000; "
               "here wo and w2 are multiplied by it",
               "its query head h reads key/value head h mod 2; the heads were put in the "
               "order in which ours read h / 2",
               left_behind}));
    BlztFile wide = version_4();
    wide.head_size = 4;
    const auto path = write_blzt(work, wide);
    test::expect_error(Code::unsupported,
                       "[train.blzt_model] " + path.string() +
                           ": 4 heads of 4 make 16 channels, the model's width is 8; models whose "
                           "heads do not fill the width are not supported",
                       [&] { load_model(path); });
}

TEST(ModelFile, ABlztCheckpointSurvivesSafetensorsWhole) {
    const TemporaryDirectory work;
    for (const BlztFile& file : {BlztFile{}, version_4()}) {
        const auto loaded = load_model(write_blzt(work, file));
        const auto path = work.path() / "m.safetensors";
        EXPECT_TRUE(save_model(loaded, path).empty());
        const auto again = load_model(path);
        EXPECT_EQ(again.kind, "safetensors");
        EXPECT_TRUE(again.notes.empty());
        EXPECT_EQ(again.architecture.config, loaded.architecture.config);
        expect_equal_weights(again, loaded);
    }
}

TEST(ModelFile, Llama2cHoldsTheWeightsAndSaysThatItsReadersRotate) {
    const TemporaryDirectory work;
    const auto path = work.path() / "m.bin";
    const auto four = load_model(write_blzt(work, version_4()));
    EXPECT_TRUE(save_model(four, path).empty());
    const auto four_again = load_model(path);
    EXPECT_EQ(four_again.kind, "llama2.c model");
    EXPECT_EQ(four_again.architecture.config, four.architecture.config);
    expect_equal_weights(four_again, four);

    const auto two = load_model(write_blzt(work, {}));
    EXPECT_EQ(save_model(two, path),
              std::vector<std::string>{
                  "the model has no rotary positions (model.rope = false), but every reader of "
                  "llama2.c files rotates queries and keys: there it is another function and its "
                  "text will be worse; train it on from this file to get used to them, or convert "
                  "to .safetensors, which keeps that"});
    const auto two_again = load_model(path);
    EXPECT_TRUE(two_again.architecture.config.rope);
    expect_equal_weights(two_again, two);
}

TEST(ModelFile, RefusesOtherSuffixesAndWhatLlama2cHasNoPlaceFor) {
    const TemporaryDirectory work;
    auto loaded = load_model(write_blzt(work, {}));
    const auto refused = [&](Code code, const char* name, const std::string& message) {
        const auto path = work.path() / name;
        test::expect_error(code, "[train.model_file] " + path.string() + ": " + message,
                           [&] { save_model(loaded, path); });
        EXPECT_FALSE(std::filesystem::exists(path));
    };
    refused(Code::invalid_argument, "m.gguf",
            "the suffix says what to write: .bin (llama2.c) or .safetensors");
    loaded.architecture.config.rope_base = 1e6;
    refused(Code::unsupported, "m.bin",
            "llama2.c files hold Llama models with RoPE base 10000 and epsilon 1e-5 only");
}

TEST(ModelFile, NamesEveryKeyInWhichAFileAndAConfigDiffer) {
    const auto file = model::preset("stories260K");
    auto run = file;
    run.sequence = 64;  // any number of positions may be trained
    EXPECT_NO_THROW(expect_same_model(file, run, "m.bin"));
    run.width = 128, run.kv_heads = 8, run.rope = false;
    test::expect_error(
        Code::checkpoint_mismatch,
        "[train.model_file] m.bin: another model than the config describes: width is 64 there and "
        "model.width = 128 here, kv_heads is 4 there and model.kv_heads = 8 here, rope is true "
        "there and model.rope = false here; set the config's keys to the file's",
        [&] { expect_same_model(file, run, "m.bin"); });
    formats::NamedTensors tensors;
    test::expect_error(
        Code::checkpoint_mismatch,
        "[train.model_file] m: tensor 'embedding.weight' is missing, the model needs [512,64]",
        [&] { from_tensors(file, tensors, "m"); });
    tensors["embedding.weight"].shape = {64, 512};
    test::expect_error(
        Code::checkpoint_mismatch,
        "[train.model_file] m: tensor 'embedding.weight' is [64,512], the model needs [512,64]",
        [&] { from_tensors(file, tensors, "m"); });
}

TEST(ModelFile, Stories260KSurvivesBothFormats) {
    POME_REQUIRE_TEST_DATA(original, "llama2c/stories260K.bin");
    POME_REQUIRE_TEST_DATA(version_1, "llama2c/stories260K_v1.bin");
    const TemporaryDirectory work;
    const auto loaded = load_model(original);
    EXPECT_TRUE(save_model(load_model(version_1), work.path() / "m.safetensors").empty());
    const auto safetensors = load_model(work.path() / "m.safetensors");
    EXPECT_EQ(safetensors.architecture.config, loaded.architecture.config);
    EXPECT_TRUE(save_model(safetensors, work.path() / "m.bin").empty());
    const auto again = load_model(work.path() / "m.bin");
    EXPECT_EQ(again.architecture.config, loaded.architecture.config);
    expect_equal_weights(again, loaded);
}

TEST(ModelFile, ARunWithoutABestCheckpointHasItsNewest) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.run.steps = 3;
    config.run.save_every = 1;
    config.run.validate_every = 1000;
    const auto run = work.path() / "run";
    train_to_the_end(run, &config);
    std::filesystem::remove_all(run / "checkpoints" / "best");
    const auto newest = load_model(run / "checkpoints" / "step_00000003").weights;
    const auto found = load_model(run).weights;
    EXPECT_TRUE(std::equal(found.all().begin(), found.all().end(), newest.all().begin()));
    for (const char* step : {"step_00000002", "step_00000003"}) {
        std::filesystem::remove_all(run / "checkpoints" / step);
    }
    EXPECT_EQ(error_text([&] { load_model(run); }),
              "[train.model_file] " + run.string() +
                  ": neither a checkpoint nor a run directory with one");
}

}  // namespace
}  // namespace pome::train
