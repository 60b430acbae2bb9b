#include "model/architecture.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"

namespace pome::model {
namespace {

/// Standard deviation of new weights: "small init", sqrt(2 / (5 width)), 0.023 at width 768. It
/// grows for narrow models, where a fixed 0.02 would leave products near the smallest that the
/// engine keeps.
double start_deviation(const ModelConfig& config) {
    return std::sqrt(2.0 / (5.0 * static_cast<double>(config.width)));
}

void add_attention(Architecture& a, std::int64_t layer, double residual) {
    const double deviation = start_deviation(a.config);
    const ModelConfig& c = a.config;
    const std::string prefix = fmt::format("layers.{}.", layer);
    a.parameters.push_back({prefix + "attention_norm.weight", {c.width}, 0.0, false});
    a.parameters.push_back({prefix + "attention.wq.weight", {c.width, c.width}, deviation, true});
    a.parameters.push_back(
        {prefix + "attention.wk.weight", {c.kv_width(), c.width}, deviation, true});
    a.parameters.push_back(
        {prefix + "attention.wv.weight", {c.kv_width(), c.width}, deviation, true});
    a.parameters.push_back({prefix + "attention.wo.weight", {c.width, c.width}, residual, true});
    const std::string weights = prefix + "attention.";
    a.blocks.push_back({prefix + "attention_norm.weight",
                        StageKind::attention,
                        {weights + "wq.weight", weights + "wk.weight", weights + "wv.weight",
                         weights + "wo.weight"}});
}

void add_feed_forward(Architecture& a, std::int64_t layer, double residual, StageKind kind) {
    const double deviation = start_deviation(a.config);
    const ModelConfig& c = a.config;
    const std::string prefix = fmt::format("layers.{}.", layer);
    const std::string weights = prefix + "feed_forward.";
    a.parameters.push_back({prefix + "ffn_norm.weight", {c.width}, 0.0, false});
    a.parameters.push_back({weights + "w1.weight", {c.hidden, c.width}, deviation, true});
    a.parameters.push_back({weights + "w2.weight", {c.width, c.hidden}, residual, true});
    Block block{prefix + "ffn_norm.weight", kind, {weights + "w1.weight", weights + "w2.weight"}};
    if (kind == StageKind::feed_forward) {
        a.parameters.push_back({weights + "w3.weight", {c.hidden, c.width}, deviation, true});
        block.weights.push_back(weights + "w3.weight");
    }
    a.blocks.push_back(std::move(block));
}

}  // namespace

std::int64_t Architecture::parameter_count() const {
    std::int64_t count = 0;
    for (const Parameter& parameter : parameters) {
        count += parameter.elements();
    }
    return count;
}

Architecture architecture(const ModelConfig& config) {
    config.check();
    Architecture a;
    a.config = config;
    const double deviation = start_deviation(config);
    a.parameters.push_back({a.embedding, {config.vocabulary, config.width}, deviation, true});
    // Projections back into the residual stream start smaller, so that its size does not grow with
    // depth (GPT-2).
    const double residual = deviation / std::sqrt(2.0 * static_cast<double>(config.layers));
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
        if (config.kind == "llama") {
            add_attention(a, layer, residual);
            add_feed_forward(a, layer, residual, StageKind::feed_forward);
        } else {
            add_feed_forward(a, layer, residual, StageKind::mlp);
        }
    }
    a.parameters.push_back({a.final_norm, {config.width}, 0.0, false});
    a.head = a.embedding;
    if (!config.tied_head) {
        a.head = "head.weight";
        a.parameters.push_back({a.head, {config.vocabulary, config.width}, deviation, true});
    }
    return a;
}

Stage make_stage(StageKind kind, const ModelConfig& config, const Form& form) {
    switch (kind) {
        case StageKind::attention:
            return attention_stage(config, form);
        case StageKind::feed_forward:
            return feed_forward_stage(config, form);
        case StageKind::mlp:
            return mlp_stage(config, form);
    }
    fail(Code::invalid_argument, "model.stage", "unknown kind of stage {}", static_cast<int>(kind));
}

}  // namespace pome::model
