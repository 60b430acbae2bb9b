#include "train/dynamic_pipeline.h"

#include "mil/passes/scale_products.h"
#include "train/surface_io.h"

namespace pome::train {
namespace {

model::Form for_device(model::Form form, const device::Device& device) {
    form.dtype = device.profile().compute;
    if (const auto row = device.profile().surfaces.row_bytes; row > 0) {
        form.hidden_multiple = row / static_cast<std::int64_t>(size_in_memory(form.dtype));
    }
    return form;
}

}  // namespace

DynamicPipeline::DynamicPipeline(const model::Architecture& architecture, device::Device& device,
                                 ThreadPool& pool, const model::Form& form, const Options& options)
    : StagePipeline(
          architecture, pool, for_device(form, device), options.training,
          {options.resident ? WeightGradients::device : WeightGradients::host, options.recompute}),
      device_(device),
      options_(options),
      blocks_(architecture.blocks.size()) {
    for (std::size_t block = 0; block < blocks_.size(); ++block) {
        const model::Stage& stage = layer(block).kind->stage;
        if (!options.resident) {
            for (const auto& weight : stage.weights) {
                blocks_[block].weights.emplace_back(*stage.function.find_type(weight));
            }
        }
        bind(block, Direction::forward);
        if (options_.training) {
            bind(block, Direction::backward);
        }
    }
}

DynamicPipeline::~DynamicPipeline() = default;

void DynamicPipeline::bind(std::size_t block, Direction direction) {
    const Kind& kind = *layer(block).kind;
    Pass& pass = blocks_[block].passes[direction];
    pass.program = &program(kind, direction);
    auto& inputs = bindings(block, direction).inputs;
    for (const auto& input : pass.program->executable->inputs()) {
        for (std::size_t i = 0; i < blocks_[block].weights.size(); ++i) {
            if (input.name == kind.stage.weights[i]) {
                inputs[input.name] = &blocks_[block].weights[i];
            }
        }
        if (input.name == mil::passes::product_scales_input) {
            pass.scales = device::Surface(input.type);
            pass.exponents.assign(pass.program->scaling->products(), 0);
            ProductScaling::store(pass.exponents, pass.scales);
            inputs[input.name] = &pass.scales;
        }
    }
}

DynamicPipeline::Program& DynamicPipeline::program(const Kind& kind, Direction direction) {
    Program& program = programs_[{&kind, direction}];
    if (program.executable) {
        return program;
    }
    const mil::Function& function = kind.function(direction, options_.training);
    const bool scaled = options_.scale_products && form().dtype == DType::fp16;
    if (scaled) {
        program.scaling = std::make_unique<ProductScaling>(device_, function, kind.stage.files);
    }
    program.executable = device_.compile(
        {device::program_for(scaled ? mil::passes::scale_products(function) : function,
                             device_.profile()),
         kind.stage.files});
    return program;
}

void DynamicPipeline::evaluate(std::size_t block, Direction direction) {
    const Span span =
        this->span(Part::device, title(block, direction), static_cast<std::int64_t>(block));
    Pass& pass = blocks_[block].passes[direction];
    if (measuring_ && !pass.exponents.empty()) {
        pass.exponents = pass.program->scaling->measure(bindings(block, direction));
        ProductScaling::store(pass.exponents, pass.scales);
    } else {
        evaluate_and_count(*pass.program->executable, block, direction);
    }
}

std::vector<int> DynamicPipeline::product_exponents() const {
    std::vector<int> all;
    for (const Block& block : blocks_) {
        for (const auto& [direction, pass] : block.passes) {
            all.insert(all.end(), pass.exponents.begin(), pass.exponents.end());
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
    for (Block& block : blocks_) {
        for (auto& [direction, pass] : block.passes) {
            for (int& exponent : pass.exponents) {
                exponent = *next++;
            }
            if (!pass.exponents.empty()) {
                ProductScaling::store(pass.exponents, pass.scales);
            }
        }
    }
}

void DynamicPipeline::stage_weights(const ParameterSet& weights) {
    const Span span = this->span(Part::io, "stage weights");
    for (std::size_t block = 0; block < blocks_.size(); ++block) {
        for (std::size_t i = 0; i < blocks_[block].weights.size(); ++i) {
            const std::size_t index = weights.index(parameter(block, i));
            store_matrix(weights.values(index).data(), weights.parameter(index).shape,
                         blocks_[block].weights[i], pool());
        }
    }
}

std::int64_t DynamicPipeline::saturated() const {
    std::int64_t saturated = 0;
    for (const auto& [key, program] : programs_) {
        saturated += program.executable->arithmetic().saturated;
        if (program.scaling) {
            saturated += program.scaling->arithmetic().saturated;
        }
    }
    return saturated;
}

}  // namespace pome::train
