#include "train/static_pipeline.h"

#include <fmt/format.h>

#include <algorithm>

namespace pome::train {
namespace {

model::Form for_device(model::Form form, const device::Device& device) {
    form.dtype = device.profile().compute;
    return form;
}

}  // namespace

StaticPipeline::StaticPipeline(const model::Architecture& architecture, device::Device& device,
                               ThreadPool& pool, const model::Form& form, const Options& options)
    : StagePipeline(architecture, pool, for_device(form, device), options.training,
                    {WeightGradients::host, options.recompute}),
      slots_(architecture.blocks.size()),
      queue_(device, options.failed_programs, timeline()),
      programs_(device, queue_),
      extras_(*this, architecture, device.profile(), programs_, pool, for_device(form, device),
              options.extras, options.training) {
    for (std::size_t block = 0; block < blocks(); ++block) {
        const Kind* kind = layer(block).kind;
        if (bakings_.contains(kind)) {
            continue;
        }
        const auto bake = [&](Direction direction) {
            const mil::Function& function = kind->function(direction, is_training());
            std::vector<std::string> weights;
            for (const auto& parameter : function.parameters) {
                if (std::find(kind->stage.weights.begin(), kind->stage.weights.end(),
                              parameter.name) != kind->stage.weights.end()) {
                    weights.push_back(parameter.name);
                }
            }
            return mil::passes::bake_weights(function, weights);
        };
        Baking& made = bakings_[kind];
        made.forward = bake(Direction::forward);
        if (is_training()) {
            made.backward = bake(Direction::backward);
        }
    }
}

StaticPipeline::~StaticPipeline() = default;

const mil::passes::Baked& StaticPipeline::baked(std::size_t block, Direction direction) const {
    const Baking& made = bakings_.at(layer(block).kind);
    return direction == Direction::forward ? made.forward : made.backward;
}

std::int64_t StaticPipeline::compiles_for_update() const {
    return static_cast<std::int64_t>(blocks()) * (is_training() ? 2 : 1) +
           extras_.compiles_for_update();
}

void StaticPipeline::stage_weights(const ParameterSet& weights) {
    const Span span = this->span(Part::io, "stage weights");
    // In the order of their evaluation: forward from the first block, backward from the last.
    for (std::size_t block = 0; block < blocks(); ++block) {
        stage(block, Direction::forward, weights);
    }
    extras_.stage_forward(weights);
    if (is_training()) {
        extras_.stage_backward(blocks(), weights);
        for (std::size_t block = blocks(); block-- > 0;) {
            stage(block, Direction::backward, weights);
            extras_.stage_backward(block, weights);
        }
    }
    programs_.drop_unused();
}

void StaticPipeline::stage(std::size_t block, Direction direction, const ParameterSet& weights) {
    const Kind& kind = *layer(block).kind;
    slots_[block][direction] =
        programs_.program(fmt::format("the {} program of block {}", title(block, direction), block),
                          baked(block, direction), kind.stage.files, [&](const std::string& name) {
                              const auto& names = kind.stage.weights;
                              const auto at = static_cast<std::size_t>(
                                  std::find(names.begin(), names.end(), name) - names.begin());
                              return weights.values(parameter(block, at));
                          });
}

void StaticPipeline::evaluate(std::size_t block, Direction direction) {
    const auto at = static_cast<std::int64_t>(block);
    device::Executable& program =
        wait_for(slots_[block][direction], *this, title(block, direction), at);
    const Span span = this->span(Part::device, title(block, direction), at);
    const std::int64_t before = program.arithmetic().saturated;
    evaluate_and_count(program, block, direction);
    saturated_ += program.arithmetic().saturated - before;
}

bool StaticPipeline::take_overflow() {
    const bool blocks_did = StagePipeline::take_overflow();
    return extras_.take_overflow() || blocks_did;
}

}  // namespace pome::train
