#include "train/resident_pipeline.h"

namespace pome::train {

std::vector<ResidentTensor> ResidentPipeline::tensors() const {
    std::vector<ResidentTensor> tensors;
    for (std::size_t block = 0; block < blocks(); ++block) {
        const model::Stage& stage = layer(block).kind->stage;
        for (std::size_t at = 0; at < stage.weights.size(); ++at) {
            for (const model::Parameter& own : architecture().parameters) {
                if (own.name == parameter(block, at)) {
                    tensors.push_back({own.name, own.shape[0], own.shape[1], own.decays, block,
                                       stage.function.find_type(stage.weights[at])->shape});
                }
            }
        }
    }
    return tensors;
}

ResidentPipeline::ResidentPipeline(const model::Architecture& architecture, device::Device& device,
                                   ThreadPool& pool, const model::Form& form,
                                   const Options& options)
    : DynamicPipeline(architecture, device, pool, form,
                      {.training = true,
                       .scale_products = options.scale_products,
                       .resident = true,
                       .recompute = options.recompute}),
      state_(device, pool, times(), tensors(), options.form) {
    for (const ResidentTensor& tensor : tensors()) {
        index_.emplace(tensor.name, index_.size());
    }
    for (std::size_t block = 0; block < blocks(); ++block) {
        const Kind& kind = *layer(block).kind;
        for (const Direction direction : {Direction::forward, Direction::backward}) {
            auto& inputs = bindings(block, direction).inputs;
            for (const auto& input : kind.function(direction, true).parameters) {
                for (std::size_t at = 0; at < kind.stage.weights.size(); ++at) {
                    if (input.name == kind.stage.weights[at]) {
                        inputs[input.name] = &state_.weight(tensor(block, at));
                    }
                }
            }
        }
    }
}

ResidentPipeline::~ResidentPipeline() = default;

void ResidentPipeline::stage_weights(const ParameterSet& weights) {
    if (started_) {
        return;
    }
    const Span span = this->span(Part::io, "stage weights");
    for (const auto& [name, index] : index_) {
        state_.set_weights(index, weights.values(name));
    }
    started_ = true;
}

void ResidentPipeline::evaluate(std::size_t block, Direction direction) {
    if (direction == Direction::backward) {
        const auto& names = layer(block).kind->stage.weights;
        for (std::size_t at = 0; at < names.size(); ++at) {
            bindings(block, direction).outputs["d_" + names[at]] =
                &state_.gradient_target(tensor(block, at));
        }
    }
    DynamicPipeline::evaluate(block, direction);
}

void ResidentPipeline::add_weight_gradients(std::size_t block, ParameterSet& /*gradients*/) {
    state_.take_gradients(block);
}

double ResidentPipeline::sum_of_squares() {
    return state_.sum_of_squares();
}

void ResidentPipeline::update(const kernels::AdamW& rule) {
    state_.update(rule);
}

void ResidentPipeline::skip_update() {
    state_.discard_gradients();
}

void ResidentPipeline::fetch_weights(ParameterSet& weights) const {
    for (const auto& [name, index] : index_) {
        state_.get_weights(index, weights.values(name));
    }
}

void ResidentPipeline::restore_state(const formats::SafetensorsFile& file,
                                     const std::string& source) {
    state_.restore(file, source);
    started_ = true;
}

}  // namespace pome::train
