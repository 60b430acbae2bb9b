#include "train/stage_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "kernels/gemm.h"
#include "train/surface_io.h"

namespace pome::train {

using device::Surface;

mil::autodiff::Differentiated training_programs(const model::Stage& stage) {
    mil::autodiff::Options wanted;
    wanted.with_respect_to = {"x"};
    wanted.with_respect_to.insert(wanted.with_respect_to.end(), stage.weights.begin(),
                                  stage.weights.end());
    wanted.host_gradients.insert(stage.weights.begin(), stage.weights.end());
    return mil::autodiff::differentiate(stage.function, wanted);
}

StagePipeline::StagePipeline(const model::Architecture& architecture, ThreadPool& pool,
                             const model::Form& form, bool training)
    : architecture_(architecture), pool_(pool), form_(form), training_(training) {
    for (const model::Block& block : architecture.blocks) {
        auto layer = std::make_unique<Layer>();
        layer->kind = &kind(block.stage);
        layers_.push_back(std::move(layer));
    }
    for (const auto& layer : layers_) {
        bind_forward(*layer);
        if (training_) {
            bind_backward(*layer);
        }
    }
}

StagePipeline::~StagePipeline() = default;

const StagePipeline::Kind& StagePipeline::kind(model::StageKind which) {
    auto& slot = kinds_[which];
    if (slot) {
        return *slot;
    }
    slot = std::make_unique<Kind>();
    slot->stage = model::make_stage(which, architecture_.config, form_);
    if (training_) {
        slot->parts = training_programs(slot->stage);
    }
    return *slot;
}

namespace {

bool is_weight(const model::Stage& stage, const std::string& name) {
    return std::find(stage.weights.begin(), stage.weights.end(), name) != stage.weights.end();
}

}  // namespace

void StagePipeline::bind_forward(Layer& layer) {
    const Kind& used = *layer.kind;
    const mil::Function& function = used.function(Direction::forward, training_);
    // Training needs each layer's input and saved activations again; otherwise one set serves all.
    const auto surface = [&](const mil::NamedType& value, bool kept) {
        auto& owner = kept ? layer.values : shared_;
        return &owner.try_emplace(value.name, value.type).first->second;
    };
    for (const auto& input : function.parameters) {
        if (!is_weight(used.stage, input.name)) {
            layer.forward.inputs[input.name] = surface(input, training_);
        }
    }
    for (const auto& output : device::output_types(function)) {
        layer.forward.outputs[output.name] = surface(output, training_ && output.name != "y");
    }
}

void StagePipeline::bind_backward(Layer& layer) {
    const Kind& used = *layer.kind;
    const mil::Function& function = used.function(Direction::backward, training_);
    auto& [inputs, outputs] = layer.backward;
    shared_.try_emplace("d_y", *used.stage.function.find_type("y"));
    for (const auto& input : function.parameters) {
        if (const auto saved = layer.values.find(input.name); saved != layer.values.end()) {
            inputs[input.name] = &saved->second;
        } else if (!is_weight(used.stage, input.name)) {
            inputs[input.name] = &shared_.try_emplace(input.name, input.type).first->second;
        }
    }
    for (const auto& output : device::output_types(function)) {
        const std::string key = fmt::format("{}.{}", used.stage.name, output.name);
        outputs[output.name] = &shared_.try_emplace(key, output.type).first->second;
    }
}

void StagePipeline::forward(std::size_t block, const float* x, float* y) {
    Layer& layer = *layers_[block];
    {
        const Stopwatch watch(times().io);
        auto& owner = training_ ? layer.values : shared_;
        store(x, owner.find("x")->second, pool_);
    }
    evaluate(block, Direction::forward);
    const Stopwatch watch(times().io);
    load(*layer.forward.outputs.find("y")->second, y, pool_);
}

void StagePipeline::backward(std::size_t block, const float* dy, float* dx,
                             ParameterSet& gradients) {
    Layer& layer = *layers_[block];
    {
        const Stopwatch watch(times().io);
        store(dy, shared_.find("d_y")->second, pool_);
    }
    evaluate(block, Direction::backward);
    {
        const Stopwatch watch(times().io);
        const Surface& surface = *layer.backward.outputs.find("d_x")->second;
        load(surface, dx, pool_);
        overflow_ = overflow_ || has_infinity(dx, surface.elements());
    }
    add_weight_gradients(block, gradients);
}

void StagePipeline::add_weight_gradients(std::size_t block, ParameterSet& gradients) {
    Layer& layer = *layers_[block];
    const Kind& used = *layer.kind;
    std::set<std::string, std::less<>> loaded;
    const auto operand = [&](const std::string& name) -> const float* {
        // Memory is kept from layer to layer: fresh pages cost more than the conversion.
        std::vector<float>& values = operands_[fmt::format("{}.{}", used.stage.name, name)];
        if (loaded.insert(name).second) {
            const Stopwatch watch(times().io);
            const Surface* surface = nullptr;
            if (const auto out = layer.backward.outputs.find(name);
                out != layer.backward.outputs.end()) {
                surface = out->second;
            } else if (const auto value = layer.values.find(name); value != layer.values.end()) {
                surface = &value->second;
            } else {
                surface = &shared_.find(name)->second;
            }
            values.resize(static_cast<std::size_t>(surface->elements()));
            load(*surface, values.data(), pool_);
            overflow_ = overflow_ || has_infinity(values.data(), surface->elements());
        }
        return values.data();
    };
    for (const auto& product : used.parts.host_gradients) {
        const auto& names = used.stage.weights;
        const auto at = static_cast<std::size_t>(
            std::find(names.begin(), names.end(), product.parameter) - names.begin());
        const float* left = operand(product.transposed ? product.right : product.left);
        const float* right = operand(product.transposed ? product.left : product.right);
        const std::size_t index = gradients.index(parameter(block, at));
        const Shape& shape = gradients.parameter(index).shape;
        const Stopwatch watch(times().host);
        kernels::gemm(false, true, shape[0], shape[1], form_.sequence, 1.0F, left, form_.sequence,
                      right, form_.sequence, 1.0F, gradients.values(index).data(), shape[1], pool_);
    }
}

bool StagePipeline::take_overflow() {
    const std::int64_t now = saturated();
    const bool overflow = overflow_ || now > saturated_seen_;
    saturated_seen_ = now;
    overflow_ = false;
    return overflow;
}

}  // namespace pome::train
