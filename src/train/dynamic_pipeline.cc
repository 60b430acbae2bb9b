#include "train/dynamic_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <set>

#include "kernels/convert.h"
#include "kernels/gemm.h"
#include "train/product_scaling.h"

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

/// A stage in one direction, compiled, and what chooses the scales of its products.
struct Direction {
    std::unique_ptr<device::Executable> executable;
    std::unique_ptr<ProductScaling> scaling;
};

struct DynamicPipeline::Program {
    model::Stage stage;
    Direction forward;
    Direction backward;                   // training only
    mil::autodiff::Differentiated parts;  // training only
};

struct DynamicPipeline::Pass {
    Direction* direction = nullptr;
    device::Bindings bindings;
    Surface scales;              // "product_scales", where products are scaled
    std::vector<int> exponents;  // what it holds
};

struct DynamicPipeline::Layer {
    Program* program = nullptr;
    std::vector<Surface> weights;                        // in the order of Stage::weights
    std::map<std::string, Surface, std::less<>> values;  // "x", "y" and the saved activations
    Pass forward;
    Pass backward;
};

DynamicPipeline::DynamicPipeline(const model::Architecture& architecture, device::Device& device,
                                 ThreadPool& pool, const model::Form& form, const Options& options)
    : architecture_(architecture), device_(device), pool_(pool), form_(form), options_(options) {
    form_.dtype = device.profile().compute;
    for (const model::Block& block : architecture.blocks) {
        auto layer = std::make_unique<Layer>();
        layer->program = &program(block.stage);
        layers_.push_back(std::move(layer));
    }
    for (const auto& layer : layers_) {
        bind_forward(*layer);
        if (options_.training) {
            bind_backward(*layer);
        }
    }
}

void DynamicPipeline::bind_forward(Layer& layer) {
    Program& used = *layer.program;
    const device::Executable& executable = *used.forward.executable;
    layer.forward.direction = &used.forward;
    auto& inputs = layer.forward.bindings.inputs;
    for (const auto& weight : used.stage.weights) {
        layer.weights.emplace_back(*used.stage.function.find_type(weight));
    }
    for (std::size_t i = 0; i < layer.weights.size(); ++i) {
        inputs[used.stage.weights[i]] = &layer.weights[i];
    }
    // Training needs each layer's input and saved activations again; otherwise one set serves all.
    const auto surface = [&](const mil::NamedType& value, bool kept) {
        auto& owner = kept ? layer.values : shared_;
        return &owner.try_emplace(value.name, value.type).first->second;
    };
    for (const auto& input : executable.inputs()) {
        if (input.name == "x") {
            inputs["x"] = surface(input, options_.training);
        }
    }
    for (const auto& output : executable.outputs()) {
        layer.forward.bindings.outputs[output.name] =
            surface(output, options_.training && output.name != "y");
    }
    add_scales(layer.forward, executable);
}

void DynamicPipeline::bind_backward(Layer& layer) {
    Program& used = *layer.program;
    const device::Executable& executable = *used.backward.executable;
    layer.backward.direction = &used.backward;
    auto& [inputs, outputs] = layer.backward.bindings;
    shared_.try_emplace("d_y", *used.stage.function.find_type("y"));
    for (const auto& input : executable.inputs()) {
        if (input.name == mil::passes::product_scales_input) {
            continue;
        }
        if (const auto saved = layer.values.find(input.name); saved != layer.values.end()) {
            inputs[input.name] = &saved->second;
        } else if (const auto weight = layer.forward.bindings.inputs.find(input.name);
                   weight != layer.forward.bindings.inputs.end()) {
            inputs[input.name] = weight->second;
        } else {
            inputs[input.name] = &shared_.try_emplace(input.name, input.type).first->second;
        }
    }
    for (const auto& output : executable.outputs()) {
        const std::string key = fmt::format("{}.{}", used.stage.name, output.name);
        outputs[output.name] = &shared_.try_emplace(key, output.type).first->second;
    }
    add_scales(layer.backward, executable);
}

void DynamicPipeline::add_scales(Pass& pass, const device::Executable& executable) {
    for (const auto& input : executable.inputs()) {
        if (input.name == mil::passes::product_scales_input) {
            pass.scales = Surface(input.type);
            pass.exponents.assign(pass.direction->scaling->products(), 0);
            ProductScaling::store(pass.exponents, pass.scales);
            pass.bindings.inputs[input.name] = &pass.scales;
        }
    }
}

void DynamicPipeline::evaluate(Pass& pass) {
    const Stopwatch watch(times().device);
    if (measuring_ && !pass.exponents.empty()) {
        pass.exponents = pass.direction->scaling->measure(pass.bindings);
        ProductScaling::store(pass.exponents, pass.scales);
    } else {
        pass.direction->executable->evaluate(pass.bindings);
    }
}

std::vector<int> DynamicPipeline::product_exponents() const {
    std::vector<int> all;
    for (const auto& layer : layers_) {
        for (const Pass* pass : {&layer->forward, &layer->backward}) {
            all.insert(all.end(), pass->exponents.begin(), pass->exponents.end());
        }
    }
    return all;
}

void DynamicPipeline::restore_product_exponents(const std::vector<int>& exponents) {
    if (exponents.size() != product_exponents().size()) {
        fail(Code::checkpoint_mismatch, "train.pipeline",
             "the checkpoint has scales for {} products, this pipeline {}; set "
             "engine.product_scale as the run had it",
             exponents.size(), product_exponents().size());
    }
    auto next = exponents.begin();
    for (const auto& layer : layers_) {
        for (Pass* pass : {&layer->forward, &layer->backward}) {
            for (int& exponent : pass->exponents) {
                exponent = *next++;
            }
            if (!pass->exponents.empty()) {
                ProductScaling::store(pass->exponents, pass->scales);
            }
        }
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
    const auto compile = [&](const mil::Function& function) {
        Direction direction;
        const bool scaled = options_.scale_products && form_.dtype == DType::fp16;
        if (scaled) {
            direction.scaling =
                std::make_unique<ProductScaling>(device_, function, slot->stage.files);
        }
        direction.executable = device_.compile(
            {mil::make_program(scaled ? mil::passes::scale_products(function) : function),
             slot->stage.files});
        return direction;
    };
    if (!options_.training) {
        slot->forward = compile(slot->stage.function);
        return *slot;
    }
    mil::autodiff::Options wanted;
    wanted.with_respect_to = slot->stage.weights;
    wanted.with_respect_to.insert(wanted.with_respect_to.begin(), "x");
    wanted.host_gradients.insert(slot->stage.weights.begin(), slot->stage.weights.end());
    slot->parts = mil::autodiff::differentiate(slot->stage.function, wanted);
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
        auto& owner = options_.training ? layer.values : shared_;
        store(x, owner.find("x")->second, pool_);
    }
    evaluate(layer.forward);
    const Stopwatch watch(times().io);
    load(*layer.forward.bindings.outputs.find("y")->second, y, pool_);
}

void DynamicPipeline::backward(std::size_t block, const float* dy, float* dx,
                               ParameterSet& gradients) {
    Layer& layer = *layers_[block];
    {
        const Stopwatch watch(times().io);
        store(dy, shared_.find("d_y")->second, pool_);
    }
    evaluate(layer.backward);
    {
        const Stopwatch watch(times().io);
        const Surface& surface = *layer.backward.bindings.outputs.find("d_x")->second;
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
            if (const auto out = layer.backward.bindings.outputs.find(name);
                out != layer.backward.bindings.outputs.end()) {
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
        for (const Direction* direction : {&program->forward, &program->backward}) {
            if (direction->executable) {
                saturated += direction->executable->arithmetic().saturated;
            }
            if (direction->scaling) {
                saturated += direction->scaling->arithmetic().saturated;
            }
        }
    }
    const bool overflow = overflow_ || saturated > saturated_seen_;
    saturated_seen_ = saturated;
    overflow_ = false;
    return overflow;
}

}  // namespace pome::train
