#include "train/step_plan.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "mil/passes/bake_weights.h"
#include "mil/passes/scale_products.h"
#include "model/architecture.h"
#include "train/extra_programs.h"
#include "train/stage_pipeline.h"
#include "train/trainer.h"

namespace pome::train {
namespace {

constexpr double fp32 = 4.0, fp16 = 2.0;

bool is_weight(const model::Stage& stage, const std::string& name) {
    return std::find(stage.weights.begin(), stage.weights.end(), name) != stage.weights.end();
}

/// Of the surfaces that the host converts: all but the weights'.
double converted_bytes(const mil::Function& function, const model::Stage& stage) {
    double bytes = 0.0;
    for (const auto& parameter : function.parameters) {
        bytes +=
            is_weight(stage, parameter.name) ? 0.0 : static_cast<double>(parameter.type.bytes());
    }
    for (const auto& output : function.outputs) {
        bytes += static_cast<double>(function.find_type(output)->bytes());
    }
    return bytes;
}

/// The program as the pipeline compiles it.
mil::Function compiled(const mil::Function& function, const model::Stage& stage,
                       const Config& config) {
    if (config.engine.pipeline != "dynamic") {
        std::vector<std::string> weights;
        for (const auto& parameter : function.parameters) {
            if (is_weight(stage, parameter.name)) {
                weights.push_back(parameter.name);
            }
        }
        return mil::passes::bake_weights(function, weights).function;
    }
    return config.engine.product_scale ? mil::passes::scale_products(function) : function;
}

/// What the engine does of the host's half, an update; the host's part goes down by it.
void add_extras(StepPlan& plan, const Config& config, const model::Architecture& architecture,
                const model::Form& form, std::int64_t max_channels) {
    const auto has = [&](Extra extra) {
        const auto& names = config.engine.extras;
        return !names || std::find(names->begin(), names->end(), extra_name(extra)) != names->end();
    };
    const auto add = [&](std::string name, const mil::Function& function, const model::Stage& stage,
                         std::int64_t runs, std::int64_t compiles) {
        plan.programs.push_back(
            {std::move(name), compiled(function, stage, config), runs * config.run.batch});
        plan.compiles_update += compiles;
        plan.host_bytes += (fp16 + fp32) / fp16 * converted_bytes(function, stage) *
                           static_cast<double>(runs * config.run.batch);
        for (const auto& weight : stage.weights) {
            plan.compiled_bytes += static_cast<double>(compiles) *
                                   static_cast<double>(stage.function.find_type(weight)->bytes());
        }
    };
    const model::Stage norm = model::norm_stage(config.model, form);
    if (has(Extra::final_norm)) {
        add("final norm", norm.function, norm, 1, 1);
    }
    if (has(Extra::classifier)) {
        for (const ClassifierPart& part : classifier_parts(config.model.vocabulary, max_channels)) {
            const auto stage = model::classifier_stage(config.model, form, part.rows);
            add("classifier", stage.function, stage, 1, 1);
        }
        plan.host_flops -= 2.0 * static_cast<double>(plan.tokens) *
                           static_cast<double>(config.model.width) *
                           static_cast<double>(config.model.vocabulary);
    }
    if (has(Extra::softmax)) {
        const auto stage = model::softmax_stage(config.model, form);
        add("softmax", stage.function, stage, 1, 0);
        ++plan.compiles_once;
    }
    if (has(Extra::norm_backward)) {
        const auto norms = static_cast<std::int64_t>(architecture.blocks.size()) + 1;
        add("norm backward", norm_backward_function(norm), norm, norms, norms);
    }
}

}  // namespace

StepPlan step_plan(const Config& config, std::int64_t max_channels) {
    config.check();
    if (config.engine.pipeline == "resident") {
        fail(Code::unsupported, "train.plan",
             "a step of the resident pipeline is not planned yet; plan engine.pipeline = "
             "\"dynamic\", \"static\" or \"static-extras\"");
    }
    const bool extras = config.engine.pipeline == "static-extras";
    const bool bakes = config.engine.pipeline == "static" || extras;
    if ((!bakes && config.engine.pipeline != "dynamic") || config.run.batch == 0) {
        fail(Code::invalid_argument, "train.plan",
             "engine.pipeline is '{}' and train.batch {}: choose them for a device first",
             config.engine.pipeline, config.run.batch);
    }
    const auto architecture = model::architecture(config.model);
    const model::Form form = stage_form(config.engine, config.run.sequence);
    StepPlan plan;
    plan.tokens = config.run.sequence * config.run.batch;

    std::map<model::StageKind, std::int64_t> blocks;
    for (const auto& block : architecture.blocks) {
        ++blocks[block.stage];
    }
    const auto sequences = static_cast<double>(config.run.batch);
    const auto s = static_cast<double>(config.run.sequence);
    double weights = 0.0;  // of all blocks
    for (const auto& [kind, count] : blocks) {
        const model::Stage stage = model::make_stage(kind, architecture.config, form);
        const auto parts =
            training_programs(stage, {WeightGradients::host, config.engine.recompute});
        double size = 0.0;
        for (const auto& weight : stage.weights) {
            size += static_cast<double>(stage.function.find_type(weight)->shape.elements());
        }
        weights += size * static_cast<double>(count);
        const std::int64_t evaluations = count * config.run.batch;
        for (const auto& [direction, function] :
             {std::pair{"forward", &parts.forward}, std::pair{"backward", &parts.backward}}) {
            plan.programs.push_back({fmt::format("{} {}", stage.name, direction),
                                     compiled(*function, stage, config), evaluations});
            (bakes ? plan.compiles_update : plan.compiles_once) += bakes ? count : 1;
            // fp16 to fp32 and back: two bytes on one side, four on the other.
            plan.host_bytes += (fp16 + fp32) / fp16 * converted_bytes(*function, stage) *
                               static_cast<double>(evaluations);
        }
        plan.host_flops += 2.0 * s * size * static_cast<double>(evaluations);
    }
    if (bakes) {
        plan.compiled_bytes = 2.0 * fp16 * weights;  // forward and backward
    }
    const auto width = static_cast<double>(config.model.width);
    const auto vocabulary = static_cast<double>(config.model.vocabulary);
    const auto depth = static_cast<double>(architecture.blocks.size());
    plan.host_flops += 3.0 * 2.0 * s * width * vocabulary * sequences;
    // Norms forward and backward and residual sums of each block; the loss over the logits.
    plan.host_bytes += fp32 * s * sequences * (14.0 * width * depth + 8.0 * vocabulary);
    // AdamW reads gradient, two moments and weight, writes three; weights are staged as fp16.
    plan.host_bytes += 7.0 * fp32 * static_cast<double>(architecture.parameter_count());
    plan.host_bytes += (fp32 + fp16) * weights * (bakes ? 2.0 : 1.0);
    if (extras) {
        add_extras(plan, config, architecture, form, max_channels);
    }
    return plan;
}

}  // namespace pome::train
