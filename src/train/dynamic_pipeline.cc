#include "train/dynamic_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "kernels/convert.h"
#include "kernels/gemm.h"

namespace pome::train {
namespace {

using device::Surface;

constexpr std::int64_t grain = 16384;  // elements a thread converts at least

void store(const float* values, Surface& surface, ThreadPool& pool) {
    if (surface.type().dtype == DType::fp32) {
        std::memcpy(surface.floats(), values,
                    static_cast<std::size_t>(surface.elements()) * sizeof(float));
        return;
    }
    fp16* halves = surface.halves();
    pool.for_ranges(surface.elements(), grain, [&](std::int64_t begin, std::int64_t end, int) {
        kernels::to_fp16(values + begin, halves + begin, end - begin, Rounding::nearest_even);
    });
}

void load(const Surface& surface, float* values, ThreadPool& pool) {
    if (surface.type().dtype == DType::fp32) {
        std::memcpy(values, surface.floats(),
                    static_cast<std::size_t>(surface.elements()) * sizeof(float));
        return;
    }
    const fp16* halves = surface.halves();
    pool.for_ranges(surface.elements(), grain, [&](std::int64_t begin, std::int64_t end, int) {
        kernels::to_float(halves + begin, values + begin, end - begin);
    });
}

bool has_infinity(const float* values, std::int64_t count) {
    // A sum of magnitudes is infinite or NaN exactly when one of them is, fp16 values being far
    // from FLT_MAX.
    float sums[16] = {};  // independent chains that the compiler can run as vectors
    for (std::int64_t i = 0; i + 16 <= count; i += 16) {
        for (int lane = 0; lane < 16; ++lane) {
            sums[lane] += std::fabs(values[i + lane]);
        }
    }
    for (std::int64_t i = count / 16 * 16; i < count; ++i) {
        sums[0] += std::fabs(values[i]);
    }
    return !std::all_of(std::begin(sums), std::end(sums),
                        [](float sum) { return std::isfinite(sum); });
}

}  // namespace

struct DynamicPipeline::Program {
    model::Stage stage;
    std::unique_ptr<device::Executable> forward;
    std::unique_ptr<device::Executable> backward;  // training only
    mil::autodiff::Differentiated parts;           // training only
};

struct DynamicPipeline::Layer {
    Program* program = nullptr;
    std::vector<Surface> weights;                        // in the order of Stage::weights
    std::map<std::string, Surface, std::less<>> values;  // "x", "y" and the saved activations
    device::Bindings forward;
    device::Bindings backward;
};

DynamicPipeline::DynamicPipeline(const model::Architecture& architecture, device::Device& device,
                                 ThreadPool& pool, const model::Form& form, bool training)
    : architecture_(architecture), device_(device), pool_(pool), form_(form), training_(training) {
    form_.dtype = device.profile().compute;
    for (const model::Block& block : architecture.blocks) {
        auto layer = std::make_unique<Layer>();
        layer->program = &program(block.stage);
        for (const auto& input : layer->program->forward->inputs()) {
            if (input.name == "x") {
                // Training needs each layer's input again for its weight gradients; otherwise one
                // serves all.
                auto& owner = training_ ? layer->values : shared_;
                const auto [entry, made] = owner.try_emplace("x");
                if (made) {
                    entry->second = Surface(input.type);
                }
                layer->forward.inputs["x"] = &entry->second;
            }
        }
        layers_.push_back(std::move(layer));
    }
    for (const auto& layer : layers_) {
        Program& used = *layer->program;
        for (const auto& weight : used.stage.weights) {
            const mil::Type* type = used.stage.function.find_type(weight);
            layer->weights.emplace_back(*type);
        }
        for (std::size_t i = 0; i < layer->weights.size(); ++i) {
            layer->forward.inputs[used.stage.weights[i]] = &layer->weights[i];
        }
        for (const auto& output : used.forward->outputs()) {
            auto& owner = training_ && output.name != "y" ? layer->values : shared_;
            const auto [entry, made] = owner.try_emplace(output.name);
            if (made) {
                entry->second = Surface(output.type);
            }
            layer->forward.outputs[output.name] = &entry->second;
        }
        if (!training_) {
            continue;
        }
        for (const auto& input : used.backward->inputs()) {
            const Surface* surface = nullptr;
            if (const auto saved = layer->values.find(input.name); saved != layer->values.end()) {
                surface = &saved->second;
            } else if (const auto weight = layer->forward.inputs.find(input.name);
                       weight != layer->forward.inputs.end()) {
                surface = weight->second;
            } else {
                surface = &shared_.try_emplace(input.name, input.type).first->second;
            }
            layer->backward.inputs[input.name] = surface;
        }
        for (const auto& output : used.backward->outputs()) {
            const std::string key = fmt::format("{}.{}", used.stage.name, output.name);
            layer->backward.outputs[output.name] =
                &shared_.try_emplace(key, output.type).first->second;
        }
        shared_.try_emplace("d_y", *used.stage.function.find_type("y"));
    }
}

DynamicPipeline::~DynamicPipeline() = default;

DynamicPipeline::Program& DynamicPipeline::program(model::StageKind kind) {
    auto& slot = programs_[kind];
    if (slot) {
        return *slot;
    }
    slot = std::make_unique<Program>();
    slot->stage = model::make_stage(kind, architecture_.config, form_);
    const auto compile = [&](mil::Function function) {
        return device_.compile({mil::make_program(std::move(function)), slot->stage.files});
    };
    if (!training_) {
        slot->forward = compile(slot->stage.function);
        return *slot;
    }
    mil::autodiff::Options options;
    options.with_respect_to = slot->stage.weights;
    options.with_respect_to.insert(options.with_respect_to.begin(), "x");
    options.host_gradients.insert(slot->stage.weights.begin(), slot->stage.weights.end());
    slot->parts = mil::autodiff::differentiate(slot->stage.function, options);
    slot->forward = compile(slot->parts.forward);
    slot->backward = compile(slot->parts.backward);
    return *slot;
}

void DynamicPipeline::stage_weights(const ParameterSet& weights) {
    const Stopwatch watch(times().io);
    for (std::size_t block = 0; block < layers_.size(); ++block) {
        Layer& layer = *layers_[block];
        for (std::size_t i = 0; i < layer.weights.size(); ++i) {
            store(weights.values(architecture_.blocks[block].weights[i]).data(), layer.weights[i],
                  pool_);
        }
    }
}

void DynamicPipeline::forward(std::size_t block, const float* x, float* y) {
    Layer& layer = *layers_[block];
    {
        const Stopwatch watch(times().io);
        auto& owner = training_ ? layer.values : shared_;
        store(x, owner.find("x")->second, pool_);
    }
    {
        const Stopwatch watch(times().device);
        layer.program->forward->evaluate(layer.forward);
    }
    const Stopwatch watch(times().io);
    load(*layer.forward.outputs.find("y")->second, y, pool_);
}

void DynamicPipeline::backward(std::size_t block, const float* dy, float* dx,
                               ParameterSet& gradients) {
    Layer& layer = *layers_[block];
    {
        const Stopwatch watch(times().io);
        store(dy, shared_.find("d_y")->second, pool_);
    }
    {
        const Stopwatch watch(times().device);
        layer.program->backward->evaluate(layer.backward);
    }
    {
        const Stopwatch watch(times().io);
        const Surface& surface = *layer.backward.outputs.find("d_x")->second;
        load(surface, dx, pool_);
        overflow_ = overflow_ || has_infinity(dx, surface.elements());
    }
    add_weight_gradients(block, gradients);
}

void DynamicPipeline::add_weight_gradients(std::size_t block, ParameterSet& gradients) {
    Layer& layer = *layers_[block];
    const Program& used = *layer.program;
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
        const std::string& parameter = architecture_.blocks[block].weights[at];
        const float* left = operand(product.transposed ? product.right : product.left);
        const float* right = operand(product.transposed ? product.left : product.right);
        const std::size_t index = gradients.index(parameter);
        const Shape& shape = gradients.parameter(index).shape;
        const Stopwatch watch(times().host);
        kernels::gemm(false, true, shape[0], shape[1], form_.sequence, 1.0F, left, form_.sequence,
                      right, form_.sequence, 1.0F, gradients.values(index).data(), shape[1], pool_);
    }
}

bool DynamicPipeline::take_overflow() {
    std::int64_t saturated = 0;
    for (const auto& [kind, program] : programs_) {
        saturated += program->forward->arithmetic().saturated;
        if (program->backward) {
            saturated += program->backward->arithmetic().saturated;
        }
    }
    const bool overflow = overflow_ || saturated > saturated_seen_;
    saturated_seen_ = saturated;
    overflow_ = false;
    return overflow;
}

}  // namespace pome::train
