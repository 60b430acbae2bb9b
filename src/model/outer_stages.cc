// The stages around a model's blocks: normalisation, classifier, softmax.
#include <cmath>

#include "model/stage.h"

namespace pome::model {
namespace {

using mil::Builder;
using mil::Type;
using mil::Value;

Value activations(Builder& b, const Form& form, std::int64_t channels) {
    return b.input("x", Type::tensor(form.dtype, {1, channels, 1, form.sequence}));
}

Stage finish(std::string name, Builder& b, const Value& y) {
    b.output(b.rename(y, "y"));
    Stage stage;
    stage.name = std::move(name);
    stage.function = b.take();
    return stage;
}

/// The largest power of two to which `channels` values can be scaled with a sum of squares inside
/// fp16.
double largest_scale(std::int64_t channels) {
    constexpr double largest_half = 65504.0;
    return std::exp2(std::floor(0.5 * std::log2(largest_half / static_cast<double>(channels))));
}

}  // namespace

Stage norm_stage(const ModelConfig& config, const Form& form) {
    Builder b;
    const std::int64_t width = config.width;
    const Value x = activations(b, form, width);
    const Value gain = b.input("gain", Type::tensor(form.dtype, {1, width, 1, 1}));
    // Below this magnitude epsilon decides, and the scale need not grow any further.
    constexpr double smallest_top = 0x1p-7;
    const Value top = b.call(
        "reduce_max",
        {{"axes", b.integers({1})}, {"keep_dims", b.boolean(true)}, {"x", b.unary("abs", x)}});
    const Value bounded =
        b.call("maximum", {{"x", top}, {"y", b.number(form.dtype, smallest_top)}});
    const Value scale =
        b.rename(b.real_div(b.number(form.dtype, largest_scale(width)), bounded), "scale");
    const Value scaled = b.mul(x, scale);
    const Value mean =
        b.scale(b.reduce_sum(b.mul(scaled, scaled), {1}, true), 1.0 / static_cast<double>(width));
    const Value root = b.scale(scale, std::sqrt(config.norm_epsilon));  // of the scaled epsilon
    const Value variance = b.add(mean, b.mul(root, root));
    const Value y = b.mul(b.mul(scaled, b.pow(variance, -0.5)), gain);
    Stage stage = finish("norm", b, y);
    stage.weights = {"gain"};
    stage.stop_gradients = {"scale"};
    return stage;
}

Stage classifier_stage(const ModelConfig& config, const Form& form, std::int64_t rows) {
    Builder b;
    const Value x = activations(b, form, config.width);
    const Value head = b.input("head", Type::tensor(form.dtype, {1, rows, 1, config.width}));
    const Value logits = b.matmul(b.reshape(head, {1, 1, rows, config.width}),
                                  b.reshape(x, {1, 1, config.width, form.sequence}));
    Stage stage = finish("classifier", b, b.reshape(logits, {1, rows, 1, form.sequence}));
    stage.weights = {"head"};
    return stage;
}

Stage softmax_stage(const ModelConfig& config, const Form& form) {
    Builder b;
    return finish("softmax", b, b.softmax(activations(b, form, config.vocabulary), 1));
}

}  // namespace pome::model
