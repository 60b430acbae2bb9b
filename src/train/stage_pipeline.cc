#include "train/stage_pipeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/gemm.h"
#include "train/surface_io.h"

namespace pome::train {

using device::Surface;

mil::autodiff::Differentiated training_programs(const model::Stage& stage,
                                                const Differentiation& wanted) {
    mil::autodiff::Options options;
    options.recompute = wanted.recompute;
    options.with_respect_to = {"x"};
    options.with_respect_to.insert(options.with_respect_to.end(), stage.weights.begin(),
                                   stage.weights.end());
    if (wanted.gradients == WeightGradients::host) {
        options.host_gradients.insert(stage.weights.begin(), stage.weights.end());
    }
    return mil::autodiff::differentiate(stage.function, options);
}

StagePipeline::StagePipeline(const model::Architecture& architecture, ThreadPool& pool,
                             const model::Form& form, bool training, const Differentiation& wanted)
    : architecture_(architecture),
      pool_(pool),
      form_(form),
      training_(training),
      differentiation_(wanted) {
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

StagePipeline::~StagePipeline() {
    drain_weight_gradients();  // it reads the operands
}

const StagePipeline::Kind& StagePipeline::kind(model::StageKind which) {
    auto& slot = kinds_[which];
    if (slot) {
        return *slot;
    }
    slot = std::make_unique<Kind>();
    slot->stage = model::make_stage(which, architecture_.config, form_);
    if (training_) {
        slot->parts = training_programs(slot->stage, differentiation_);
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
        if (output.name.starts_with("d_") && is_weight(used.stage, output.name.substr(2))) {
            continue;
        }
        const std::string key = fmt::format("{}.{}", used.stage.name, output.name);
        outputs[output.name] = &shared_.try_emplace(key, output.type).first->second;
    }
}

void StagePipeline::evaluate_and_look(std::size_t block, Direction direction) {
    evaluate(block, direction);
    if (!watching_) {
        return;
    }
    const auto at = static_cast<std::int64_t>(block);
    const Span span = this->span(Part::host, "look at values", at);
    StageHealth& health = stage_health_[title(block, direction)];
    const device::Bindings& bound = bindings(block, direction);
    const char* const input = direction == Direction::forward ? "x" : "d_y";
    if (const auto found = bound.inputs.find(input); found != bound.inputs.end()) {
        look(*found->second, at, health);
    }
    for (const auto& [name, surface] : bound.outputs) {
        look(*surface, at, health);
    }
}

namespace {

std::int64_t vanished(const device::Executable& program) {
    std::int64_t sum = 0;
    for (const auto& operation : program.operation_counts()) {
        sum += operation.vanished;
    }
    return sum;
}

}  // namespace

void StagePipeline::evaluate_and_count(device::Executable& program, std::size_t block,
                                       Direction direction) {
    const std::int64_t saturated = program.arithmetic().saturated,
                       dropped = watching_ ? vanished(program) : 0;
    program.evaluate(bindings(block, direction));
    StageHealth counted;
    counted.saturated = program.arithmetic().saturated - saturated;
    counted.vanished = watching_ ? vanished(program) - dropped : 0;
    if (counted.saturated > 0 || counted.vanished > 0) {
        stage_health_[title(block, direction)].add(counted);
    }
}

void StagePipeline::forward(std::size_t block, const float* x, float* y) {
    Layer& layer = *layers_[block];
    const auto at = static_cast<std::int64_t>(block);
    {
        const Span span = this->span(Part::io, "store x", at);
        auto& owner = training_ ? layer.values : shared_;
        store(x, owner.find("x")->second, pool_);
    }
    evaluate_and_look(block, Direction::forward);
    const Span span = this->span(Part::io, "load y", at);
    load(*layer.forward.outputs.find("y")->second, y, pool_);
}

void StagePipeline::backward(std::size_t block, const float* dy, float* dx,
                             ParameterSet& gradients) {
    Layer& layer = *layers_[block];
    const auto at = static_cast<std::int64_t>(block);
    {
        const Span span = this->span(Part::io, "store d_y", at);
        store(dy, shared_.find("d_y")->second, pool_);
    }
    evaluate_and_look(block, Direction::backward);
    {
        const Span span = this->span(Part::io, "load d_x", at);
        const Surface& surface = *layer.backward.outputs.find("d_x")->second;
        overflow_ = !load_finite(surface, dx, pool_) || overflow_;
    }
    add_weight_gradients(block, gradients);
}

const Surface& StagePipeline::operand_surface(std::size_t block, const std::string& name) {
    Layer& layer = *layers_[block];
    if (const auto out = layer.backward.outputs.find(name); out != layer.backward.outputs.end()) {
        return *out->second;
    }
    if (const auto value = layer.values.find(name); value != layer.values.end()) {
        return value->second;
    }
    return shared_.find(name)->second;
}

const float* StagePipeline::operand(std::size_t block, const std::string& name,
                                    Operands& operands) {
    const Surface& surface = operand_surface(block, name);
    std::vector<float>& values =
        operands.values[fmt::format("{}.{}", layers_[block]->kind->stage.name, name)];
    values.resize(static_cast<std::size_t>(surface.elements()));
    overflow_ = !load_finite(surface, values.data(), pool_) || overflow_;
    return values.data();
}

const fp16* StagePipeline::half_operand(std::size_t block, const std::string& name,
                                        Operands& operands) {
    const Surface& surface = operand_surface(block, name);
    overflow_ = !is_finite(surface, pool_) || overflow_;
    if (!overlaps()) {
        return surface.halves();
    }
    std::vector<fp16>& halves =
        operands.halves[fmt::format("{}.{}", layers_[block]->kind->stage.name, name)];
    halves.assign(surface.halves(), surface.halves() + surface.elements());
    return halves.data();
}

void StagePipeline::add_weight_gradients(std::size_t block, ParameterSet& gradients) {
    Operands& operands = operands_[turn_];
    turn_ = overlaps() ? 1 - turn_ : 0;
    wait_for_weight_gradients(operands.used_by);
    const std::int64_t sequence = form_.sequence;
    /// Calls add(left, right, sum, rows, columns) for each product, with operands as `find` finds
    /// them, each once.
    const auto for_products = [&](auto find, auto add) {
        const Span span =
            this->span(Part::io, "operands of weight gradients", static_cast<std::int64_t>(block));
        const Kind& used = *layers_[block]->kind;
        std::map<std::string, decltype(find(std::string())), std::less<>> found;
        const auto once = [&](const std::string& name) {
            const auto [entry, first] = found.try_emplace(name, nullptr);
            if (first) {
                entry->second = find(name);
            }
            return entry->second;
        };
        for (const auto& product : used.parts.host_gradients) {
            const auto& names = used.stage.weights;
            const auto at = static_cast<std::size_t>(
                std::find(names.begin(), names.end(), product.parameter) - names.begin());
            const std::size_t index = gradients.index(parameter(block, at));
            const Shape& shape = gradients.parameter(index).shape;
            add(once(product.transposed ? product.right : product.left),
                once(product.transposed ? product.left : product.right),
                gradients.values(index).data(), shape[0], shape[1]);
        }
    };
    std::function<void(ThreadPool&)> work;
    if (form_.dtype == DType::fp16) {
        std::vector<kernels::MatmulSum> products;
        for_products([&](const std::string& name) { return half_operand(block, name, operands); },
                     [&](const fp16* left, const fp16* right, float* sum, std::int64_t rows,
                         std::int64_t columns) {
                         products.push_back({{left, rows, sequence, sequence, 1},
                                             {right, sequence, columns, 1, sequence},
                                             sum,
                                             columns});
                     });
        work = [products = std::move(products), &scratch = operands.scratch](ThreadPool& pool) {
            kernels::matmul_add(products, pool, scratch);
        };
    } else {
        struct Product {
            const float *left, *right;
            float* sum;
            std::int64_t rows, columns;
        };
        std::vector<Product> products;
        for_products([&](const std::string& name) { return operand(block, name, operands); },
                     [&](const float* left, const float* right, float* sum, std::int64_t rows,
                         std::int64_t columns) {
                         products.push_back({left, right, sum, rows, columns});
                     });
        work = [products = std::move(products), sequence](ThreadPool& pool) {
            for (const Product& p : products) {
                kernels::gemm(false, true, p.rows, p.columns, sequence, 1.0F, p.left, sequence,
                              p.right, sequence, 1.0F, p.sum, p.columns, pool);
            }
        };
    }
    operands.used_by = add_weight_gradient(
        fmt::format("{} weight gradients, block {}", layers_[block]->kind->stage.name, block),
        pool_, std::move(work));
}

bool StagePipeline::take_overflow() {
    const std::int64_t now = saturated();
    const bool overflow = overflow_ || now > saturated_seen_;
    saturated_seen_ = now;
    overflow_ = false;
    return overflow;
}

}  // namespace pome::train
