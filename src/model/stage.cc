#include "model/stage.h"

#include <cmath>

#include "model/stage_builder.h"

namespace pome::model {
namespace {

/// Rotates pairs of channels (2i, 2i+1) of each head by the position times base^(-2i / head size),
/// where the model wants that. x is [1, 1, heads * size, S]; the result [1, heads, size, S].
class Rotary {
  public:
    Rotary(StageBuilder& stage, const ModelConfig& config, std::int64_t sequence)
        : stage_(stage),
          size_(config.head_size()),
          sequence_(sequence),
          rotates_(config.rope),
          base_(config.rope_base) {}

    Value apply(const Value& x, std::int64_t heads, const std::string& name) {
        Builder& b = stage_.ops();
        if (!rotates_) {
            return b.reshape(x, {1, heads, size_, sequence_});
        }
        const std::int64_t pairs = heads * size_ / 2;
        const Value cosine =
            table(name + "_cos", heads, [](double angle) { return std::cos(angle); });
        const Value sine =
            table(name + "_sin", heads, [](double angle) { return std::sin(angle); });
        const Value paired = b.reshape(x, {1, pairs, 2, sequence_});
        const Value even = b.slice(paired, {0, 0, 0, 0}, {1, pairs, 1, sequence_});
        const Value odd = b.slice(paired, {0, 0, 1, 0}, {1, pairs, 1, sequence_});
        const Value first = b.sub(b.mul(even, cosine), b.mul(odd, sine));
        const Value second = b.add(b.mul(even, sine), b.mul(odd, cosine));
        return b.reshape(b.concat({first, second}, 2), {1, heads, size_, sequence_});
    }

  private:
    template <typename Function>
    Value table(const std::string& name, std::int64_t heads, Function function) {
        const std::int64_t half = size_ / 2;
        std::vector<double> values;
        values.reserve(static_cast<std::size_t>(heads * half * sequence_));
        for (std::int64_t pair = 0; pair < heads * half; ++pair) {
            const double i = static_cast<double>(pair % half);
            const double frequency = std::pow(base_, -2.0 * i / static_cast<double>(size_));
            for (std::int64_t s = 0; s < sequence_; ++s) {
                values.push_back(function(static_cast<double>(s) * frequency));
            }
        }
        return stage_.table(name, {1, heads * half, 1, sequence_}, values);
    }

    StageBuilder& stage_;
    std::int64_t size_;
    std::int64_t sequence_;
    bool rotates_;
    double base_;
};

/// 0 where a query may look (key <= query), -30000 where not: a score added to -65504 could
/// overflow, and a fully masked row would be indeterminate.
std::vector<double> causal_mask(std::int64_t sequence) {
    std::vector<double> mask(static_cast<std::size_t>(sequence * sequence), 0.0);
    for (std::int64_t query = 0; query < sequence; ++query) {
        for (std::int64_t key = query + 1; key < sequence; ++key) {
            mask[static_cast<std::size_t>(query * sequence + key)] = -30000.0;
        }
    }
    return mask;
}

/// Hidden units with those that only fill a surface's row: their weights are zero, and so is what
/// they add.
std::int64_t padded_hidden(const ModelConfig& config, const Form& form) {
    return (config.hidden + form.hidden_multiple - 1) / form.hidden_multiple * form.hidden_multiple;
}

Value sigmoid(Builder& b, const Value& x, Sigmoid form) {
    const DType dtype = x.type.dtype;
    switch (form) {
        case Sigmoid::native:
            return b.unary("sigmoid", x);
        case Sigmoid::exponential: {
            const Value one = b.number(dtype, 1.0);
            return b.real_div(one, b.add(b.unary("exp", b.negate(x)), one));
        }
        case Sigmoid::tanh:
            return b.add(b.scale(b.unary("tanh", b.scale(x, 0.5)), 0.5), b.number(dtype, 0.5));
    }
    return x;
}

}  // namespace

Stage attention_stage(const ModelConfig& config, const Form& form) {
    StageBuilder stage("attention", form);
    Builder& b = stage.ops();
    const std::int64_t width = config.width, kv_width = config.kv_width(), s = form.sequence;
    const Value x = stage.input(width);
    const Value wq = stage.weight("wq", width, width);
    const Value wk = stage.weight("wk", kv_width, width);
    const Value wv = stage.weight("wv", kv_width, width);
    const Value wo = stage.weight("wo", width, width);

    Rotary rotary(stage, config, s);
    const double scale = 1.0 / std::sqrt(static_cast<double>(config.head_size()));
    Value q = rotary.apply(stage.multiply(wq, x), config.heads, "rope_q");
    if (form.scale_query) {
        q = b.scale(q, scale);
    }
    const Value k =
        repeat_heads(b, rotary.apply(stage.multiply(wk, x), config.kv_heads, "rope_k"), config);
    const Value v = repeat_heads(
        b, b.reshape(stage.multiply(wv, x), {1, config.kv_heads, config.head_size(), s}), config);

    Value scores = b.matmul(q, k, /*transpose_x=*/true);
    if (!form.scale_query) {
        scores = b.scale(scores, scale);
    }
    const Value masked = b.add(scores, stage.table("mask", {1, 1, s, s}, causal_mask(s)));
    const Value probabilities = b.softmax(masked, -1);
    const Value heads = b.matmul(v, probabilities, /*transpose_x=*/false, /*transpose_y=*/true);
    return stage.finish(stage.multiply(wo, b.reshape(heads, {1, 1, width, s})));
}

Stage feed_forward_stage(const ModelConfig& config, const Form& form) {
    StageBuilder stage("feed_forward", form);
    Builder& b = stage.ops();
    const std::int64_t hidden = padded_hidden(config, form);
    const Value x = stage.input(config.width);
    const Value w1 = stage.weight("w1", hidden, config.width);
    const Value w2 = stage.weight("w2", config.width, hidden);
    const Value w3 = stage.weight("w3", hidden, config.width);
    const Value h1 = stage.multiply(w1, x);
    const Value h3 = stage.multiply(w3, x);
    const Value gate = b.mul(b.mul(h1, sigmoid(b, h1, form.sigmoid)), h3);
    return stage.finish(stage.multiply(w2, gate));
}

Stage mlp_stage(const ModelConfig& config, const Form& form) {
    StageBuilder stage("mlp", form);
    Builder& b = stage.ops();
    const std::int64_t hidden = padded_hidden(config, form);
    const Value x = stage.input(config.width);
    const Value w1 = stage.weight("w1", hidden, config.width);
    const Value w2 = stage.weight("w2", config.width, hidden);
    return stage.finish(stage.multiply(w2, b.unary("relu", stage.multiply(w1, x))));
}

}  // namespace pome::model
