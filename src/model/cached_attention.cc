#include "model/cached_attention.h"

#include <cmath>

#include "model/stage_builder.h"

namespace pome::model {
namespace {

/// Rotates pairs of channels of x, a matrix [1, 1, channels, S]. The two products are rounded
/// before they are added, as in attention_stage(), which subtracts where the sine here is negative.
class Rotation {
  public:
    Rotation(StageBuilder& stage, const ModelConfig& config, std::int64_t channels,
             std::int64_t sequence)
        : ops_(stage.ops()), rotates_(config.rope), sequence_(sequence) {
        if (rotates_) {
            cosine_ = stage.input(channels, "cosine");
            sine_ = stage.input(channels, "sine");
        }
    }

    Value apply(const Value& x) {
        const std::int64_t channels = x.shape()[2];
        if (!rotates_) {
            return x;
        }
        const Value pairs = ops_.reshape(x, {1, channels / 2, 2, sequence_});
        const Value even = ops_.slice(pairs, {0, 0, 0, 0}, {1, channels / 2, 1, sequence_});
        const Value odd = ops_.slice(pairs, {0, 0, 1, 0}, {1, channels / 2, 1, sequence_});
        const Value other = ops_.reshape(ops_.concat({odd, even}, 2), {1, 1, channels, sequence_});
        return ops_.add(ops_.mul(x, angles(cosine_, channels)),
                        ops_.mul(other, angles(sine_, channels)));
    }

  private:
    /// Every head turns alike: those of fewer heads are the first.
    Value angles(const Value& all, std::int64_t channels) {
        return channels == all.shape()[2]
                   ? all
                   : ops_.slice(all, {0, 0, 0, 0}, {1, 1, channels, sequence_});
    }

    Builder& ops_;
    bool rotates_;
    std::int64_t sequence_;
    Value cosine_, sine_;
};

double score_scale(const ModelConfig& config) {
    return 1.0 / std::sqrt(static_cast<double>(config.head_size()));
}

/// One position: the queries that share a key are rows of one product.
Value attend_once(Builder& b, const ModelConfig& config, const Form& form, const Value& q,
                  const Value& k, const Value& v, const Value& mask) {
    const Value queries = b.reshape(
        q, {1, config.kv_heads, config.heads / config.kv_heads, padded_head(config, form)});
    Value scores = b.matmul(queries, k);
    if (!form.scale_query) {
        scores = b.scale(scores, score_scale(config));
    }
    const Value probabilities = b.softmax(b.add(scores, mask), -1);
    return b.reshape(b.matmul(probabilities, v), {1, 1, config.width, 1});
}

Value attend(Builder& b, const ModelConfig& config, const Form& form, const Value& q,
             const Value& k, const Value& v, const Value& mask) {
    const Value queries = b.reshape(q, {1, config.heads, padded_head(config, form), form.sequence});
    Value scores = b.matmul(queries, repeat_heads(b, k, config), /*transpose_x=*/true);
    if (!form.scale_query) {
        scores = b.scale(scores, score_scale(config));
    }
    const Value probabilities = b.softmax(b.add(scores, mask), -1);
    const Value heads = b.matmul(repeat_heads(b, v, config), probabilities, /*transpose_x=*/true,
                                 /*transpose_y=*/true);
    return b.reshape(heads, {1, 1, config.width, form.sequence});
}

}  // namespace

std::int64_t padded_head(const ModelConfig& config, const Form& form) {
    return (config.head_size() + form.head_multiple - 1) / form.head_multiple * form.head_multiple;
}

Stage query_key_value_stage(const ModelConfig& config, const Form& form) {
    StageBuilder stage("query_key_value", form);
    Builder& b = stage.ops();
    const std::int64_t size = padded_head(config, form);
    const Value x = stage.input(config.width);
    const Value wq = stage.weight("wq", config.heads * size, config.width);
    const Value wk = stage.weight("wk", config.kv_heads * size, config.width);
    const Value wv = stage.weight("wv", config.kv_width(), config.width);
    Rotation rotation(stage, config, config.heads * size, form.sequence);
    Value q = rotation.apply(stage.multiply(wq, x));
    if (form.scale_query) {
        q = b.scale(q, score_scale(config));
    }
    stage.output(rotation.apply(stage.multiply(wk, x)), "k");
    stage.output(q, "q");
    stage.output(stage.multiply(wv, x), "v");
    return stage.take();
}

Stage cached_attention_stage(const ModelConfig& config, const Form& form, std::int64_t cache) {
    StageBuilder stage("cached_attention", form);
    Builder& b = stage.ops();
    const std::int64_t heads = config.kv_heads, size = config.head_size();
    const auto given = [&](const char* name, const Shape& surface, const Shape& shape) {
        return b.reshape(b.input(name, Type::tensor(form.dtype, surface)), shape);
    };
    const std::int64_t padded = padded_head(config, form);
    const Value q = stage.input(config.heads * padded, "q");
    const Value k = given("keys", {1, heads * padded, 1, cache}, {1, heads, padded, cache});
    const Value v = given("values", {1, heads, 1, cache * size}, {1, heads, cache, size});
    const Value mask = given("mask", {1, form.sequence, 1, cache}, {1, 1, form.sequence, cache});
    const Value wo = stage.weight("wo", config.width, config.width);
    const auto attention = form.sequence == 1 ? attend_once : attend;
    return stage.finish(stage.multiply(wo, attention(b, config, form, q, k, v, mask)));
}

RotationAngles rotation_angles(const ModelConfig& config, const Form& form, std::int64_t position) {
    const std::int64_t size = config.head_size(), padded = padded_head(config, form);
    RotationAngles angles;
    for (std::int64_t channel = 0; channel < config.heads * padded; ++channel) {
        const std::int64_t pair = channel % padded / 2;
        const double frequency = std::pow(
            config.rope_base, -2.0 * static_cast<double>(pair) / static_cast<double>(size));
        const double angle = static_cast<double>(position) * frequency;
        angles.cosine.push_back(std::cos(angle));
        angles.sine.push_back(channel % 2 == 0 ? -std::sin(angle) : std::sin(angle));
    }
    return angles;
}

}  // namespace pome::model
