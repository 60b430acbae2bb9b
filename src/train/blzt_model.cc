#include "train/blzt_model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.blzt_model";

/// The trainer's head that stands at `head` in our order.
std::int64_t original_head(std::int64_t head, const model::ModelConfig& config) {
    const std::int64_t group = config.heads / config.kv_heads;
    return head % group * config.kv_heads + head / group;
}

/// wq [Q, D]: its rows are the heads' channels.
void order_rows(std::span<float> wq, const model::ModelConfig& config) {
    const std::vector<float> original(wq.begin(), wq.end());
    const std::int64_t block = config.head_size() * config.width;
    for (std::int64_t head = 0; head < config.heads; ++head) {
        std::copy_n(original.begin() + original_head(head, config) * block, block,
                    wq.begin() + head * block);
    }
}

/// wo [D, Q]: its columns are.
void order_columns(std::span<float> wo, const model::ModelConfig& config) {
    const std::vector<float> original(wo.begin(), wo.end());
    const std::int64_t size = config.head_size();
    for (std::int64_t row = 0; row < config.width; ++row) {
        for (std::int64_t head = 0; head < config.heads; ++head) {
            std::copy_n(original.begin() + row * config.width + original_head(head, config) * size,
                        size, wo.begin() + row * config.width + head * size);
        }
    }
}

/// What version 4 does otherwise than our models.
void adapt_version_4(LoadedModel& loaded) {
    const model::ModelConfig& config = loaded.architecture.config;
    const double branch = 1.0 / std::sqrt(2.0 * static_cast<double>(config.layers));
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
        const std::string prefix = fmt::format("layers.{}.", layer);
        const auto wo = loaded.weights.values(prefix + "attention.wo.weight");
        for (const auto values : {wo, loaded.weights.values(prefix + "feed_forward.w2.weight")}) {
            for (float& value : values) {
                value = static_cast<float>(static_cast<double>(value) * branch);
            }
        }
        if (config.kv_heads != config.heads) {
            order_rows(loaded.weights.values(prefix + "attention.wq.weight"), config);
            order_columns(wo, config);
        }
    }
    loaded.notes.push_back(
        fmt::format("its trainer multiplies both branches of a layer by 1/sqrt(2 layers) = {:.4f}; "
                    "here wo and w2 are multiplied by it",
                    branch));
    if (config.kv_heads != config.heads) {
        loaded.notes.push_back(
            fmt::format("its query head h reads key/value head h mod {}; the heads were put in the "
                        "order in which ours read h / {}",
                        config.kv_heads, config.heads / config.kv_heads));
    }
}

}  // namespace

LoadedModel from_blzt(const formats::BlztCheckpoint& c, std::string_view source) {
    if (c.query_width != c.width) {
        fail(Code::unsupported, here,
             "{}: {} heads of {} make {} channels, the model's width is {}; models whose heads do "
             "not fill the width are not supported",
             source, c.heads, c.head_size, c.query_width, c.width);
    }
    model::ModelConfig config;
    config.width = c.width;
    config.hidden = c.hidden;
    config.layers = c.layers;
    config.heads = c.heads;
    config.kv_heads = c.kv_heads;
    config.vocabulary = c.vocabulary;
    config.sequence = c.sequence;
    config.rope = c.version != 2;
    LoadedModel loaded = from_tensors(config, c.tensors, source);
    if (c.version == 2) {
        loaded.notes.emplace_back(
            "its trainer gives attention no rotary positions (RoPE), whatever the weights it "
            "started from were trained with; neither does this model (model.rope = false)");
    } else {
        adapt_version_4(loaded);
    }
    loaded.notes.push_back(fmt::format(
        "Adam's moments after {} updates, step {} of {} and the learning rate {} are left behind: "
        "training that starts from the weights begins a new optimizer and schedule",
        c.adam_updates, c.step, c.total_steps, c.learning_rate));
    return loaded;
}

}  // namespace pome::train
