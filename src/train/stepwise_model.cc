#include "train/stepwise_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/checkpoint.h"
#include "kernels/adamw.h"
#include "train/compile_budget.h"
#include "train/model_file.h"
#include "train/selection.h"
#include "train/stepwise_kinds.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.stepwise";
constexpr std::string_view checkpoint_kind = "stepwise";

std::string chosen(const std::string& wanted, device::Device& device) {
    if (wanted != "auto" && wanted != "dynamic" && wanted != "static") {
        fail(Code::invalid_argument, here, "pipeline '{}' is not auto, dynamic or static", wanted);
    }
    if (wanted == "dynamic" && !device.profile().capabilities.runtime_weights) {
        fail(Code::unsupported, here,
             "{} does not run programs whose weights are inputs (capability runtime_weights); use "
             "the static pipeline",
             device.name());
    }
    return choose_pipeline(wanted, device).pipeline;
}

void expect(const HostTensor& given, DType dtype, const Shape& shape, std::string_view what) {
    if (given.dtype != dtype || given.shape.elements() != shape.elements() ||
        (given.shape != shape && given.shape.rank() > 1)) {
        fail(Code::surface_mismatch, here, "the {} is {} {}, the model's is {} {}", what,
             name(given.dtype), given.shape.text(), name(dtype), shape.text());
    }
}

}  // namespace

std::unique_ptr<StepwiseModel> StepwiseModel::make(std::shared_ptr<TrainableModel> model,
                                                   OpenDevice open, ThreadPool& pool,
                                                   const Options& options) {
    const auto probe = open();
    const std::string pipeline = chosen(options.pipeline, *probe);
    if (model->program) {
        return make_stepwise_program(std::move(model), std::move(open), pool, pipeline,
                                     options.loss_scale);
    }
    return make_stepwise_language(std::move(model), std::move(open), pool, pipeline,
                                  options.loss_scale, options.sequence);
}

StepwiseModel::StepwiseModel(std::shared_ptr<TrainableModel> model, OpenDevice open,
                             ThreadPool& pool, std::string pipeline, const LossScaleConfig& scale)
    : model_(std::move(model)),
      open_(std::move(open)),
      pool_(pool),
      device_(open_()),
      pipeline_(std::move(pipeline)),
      scale_(scale) {}

/// The device gets the weights of the moment. Where they are compiled in and the device's process
/// has used up its compiles, the next one takes over: weights lie here, not there.
void StepwiseModel::prepare() {
    if (taken_ == model_->revision) {
        return;
    }
    ran_ = false;
    const CompileBudget budget{device_->compiles(), device_->profile().limits.compile_budget};
    const Phase next = next_phase(Phase::running, budget, needed_compiles());
    if (next == Phase::impossible) {
        fail(Code::compile_failed, here,
             "{} allows {} compiles a process, an update of this model needs {}; use the dynamic "
             "pipeline",
             device_->name(), budget.limit, needed_compiles());
    }
    if (next == Phase::saving) {
        device_is_about_to_go();
        compiles_before_ += device_->compiles();
        device_ = open_();
    }
    take_weights();
    taken_ = model_->revision;
}

HostTensor StepwiseModel::forward(const HostTensor& input) {
    expect(input, input_dtype(), input_, "input");
    prepare();
    ran_ = false;
    HostTensor output = run(input);
    ran_ = true;
    return output;
}

Gradients StepwiseModel::backward(const HostTensor& target) {
    if (!ran_ || taken_ != model_->revision) {
        fail(Code::invalid_argument, here,
             "a backward pass needs a forward pass with the same weights before it");
    }
    const bool classes = loss() == Loss::cross_entropy;
    const Shape positions{output_[-1]};
    expect(target, classes ? DType::int32 : DType::fp32, classes ? positions : output_, "target");
    if (classes) {
        for (const std::int32_t label : target.integers) {
            if (label < -1 || label >= output_[1]) {
                fail(Code::invalid_argument, here,
                     "target {} is no class of 0 to {}, nor -1 (does not count)", label,
                     output_[1] - 1);
            }
        }
    }
    const LossScale before = scale_;
    for (;;) {
        Gradients gradients{model_->weights, 0.0};
        std::fill(gradients.values.all().begin(), gradients.values.all().end(), 0.0F);
        const double scale = scale_.scale();
        if (differentiate(target, scale, gradients)) {
            const auto factor = static_cast<float>(1.0 / scale);
            for (float& value : gradients.values.all()) {
                value *= factor;
            }
            scale_.succeeded();
            return gradients;
        }
        if (scale <= 1.0) {
            scale_ = before;  // a wrong target must not cost later steps their precision
            fail(Code::diverged, here,
                 "gradients leave the engine's range at every loss scale: loss {}; lower the "
                 "learning rate, or check input and target",
                 gradients.loss);
        }
        scale_.overflowed();
    }
}

void Optimizer::clear() {
    std::fill(m_.all().begin(), m_.all().end(), 0.0F);
    std::fill(v_.all().begin(), v_.all().end(), 0.0F);
    updates_ = 0;
}

void Optimizer::update(const UpdateRule& rule, const ParameterSet& gradients, TrainableModel& model,
                       ThreadPool& pool) {
    const auto finite = [](std::string_view what, double value, double below) {
        if (!(value >= 0.0) || !(value < below)) {
            fail(Code::invalid_argument, here, "{} is {}, not a number from 0 to below {}", what,
                 value, below);
        }
    };
    finite("learning rate", rule.learning_rate, 1e6);
    finite("beta1", rule.beta1, 1.0);
    finite("beta2", rule.beta2, 1.0);
    finite("epsilon", rule.epsilon, 1.0);
    finite("weight decay", rule.weight_decay, 1e6);
    finite("clip norm", rule.clip_norm, 1e30);
    if (gradients.all().size() != model.weights.all().size()) {
        fail(Code::invalid_argument, here, "these gradients are of another model");
    }
    const double squares = kernels::sum_of_squares(gradients.all(), pool);
    if (!std::isfinite(squares)) {
        fail(Code::diverged, here, "a gradient is not finite; the weights were left as they are");
    }
    const double norm = std::sqrt(squares);
    const double factor =
        rule.clip_norm > 0.0 && norm > rule.clip_norm ? rule.clip_norm / norm : 1.0;
    ++updates_;
    for (std::size_t i = 0; i < model.weights.size(); ++i) {
        const float decay =
            model.weights.parameter(i).decays ? static_cast<float>(rule.weight_decay) : 0.0F;
        const auto gradient = gradients.values(i);
        const auto weight = model.weights.values(i);
        if (rule.adamw) {
            const kernels::AdamW adamw{static_cast<float>(rule.learning_rate),
                                       static_cast<float>(rule.beta1),
                                       static_cast<float>(rule.beta2),
                                       static_cast<float>(rule.epsilon),
                                       decay,
                                       static_cast<float>(factor),
                                       updates_};
            kernels::adamw(adamw, gradient, weight, m_.values(i), v_.values(i), pool);
            continue;
        }
        const auto rate = static_cast<float>(rule.learning_rate);
        const auto scale = static_cast<float>(factor);
        for (std::size_t k = 0; k < weight.size(); ++k) {
            weight[k] -= rate * (scale * gradient[k] + decay * weight[k]);
        }
    }
    ++model.revision;
}

void save_checkpoint(const std::filesystem::path& directory, StepwiseModel& model,
                     Optimizer& optimizer) {
    auto moments = tensor_views(optimizer.m(), "m.");
    const auto more = tensor_views(optimizer.v(), "v.");
    moments.insert(moments.end(), more.begin(), more.end());
    const nlohmann::json state{{"kind", std::string(checkpoint_kind)},
                               {"updates", optimizer.updates()},
                               {"loss_scale", model.scale().scale()},
                               {"skipped", model.scale().skipped()},
                               {"good_updates", model.scale().good_updates()}};
    std::map<std::string, std::string, std::less<>> metadata;
    if (!model.model().program) {
        metadata = model_metadata(model.model().language.config);
    }
    formats::write_checkpoint(directory, tensor_views(model.model().weights, ""), moments, state,
                              metadata);
}

void load_checkpoint(const std::filesystem::path& directory, StepwiseModel& model,
                     Optimizer& optimizer) {
    const formats::Checkpoint read(directory);
    const std::string source = directory.string();
    const auto& state = read.state();
    const auto number = [&](const char* key, double least, double most) {
        const auto found = state.find(key);
        if (found == state.end() || !found->is_number() || !(found->get<double>() >= least) ||
            !(found->get<double>() <= most)) {
            fail(Code::malformed_file, here, "{}: state.json: '{}' is no number from {} to {}",
                 source, key, least, most);
        }
        return found->get<double>();
    };
    const auto kind = state.find("kind");
    if (kind == state.end() || *kind != checkpoint_kind) {
        fail(Code::checkpoint_mismatch, here,
             "{}: not a checkpoint of a model that is trained call by call; `pome train --resume` "
             "reads those of runs",
             source);
    }
    constexpr double many = 1e15, scales = 65536.0 * 65536.0;
    const auto updates = static_cast<std::int64_t>(number("updates", 0, many));
    const double scale = number("loss_scale", 1, scales);
    const auto skipped = static_cast<std::int64_t>(number("skipped", 0, many)),
               good = static_cast<std::int64_t>(number("good_updates", 0, many));
    ParameterSet weights = model.model().weights, m = optimizer.m(), v = optimizer.v();
    fill(weights, read.model(), "", source);
    fill(m, read.optimizer(), "m.", source);
    fill(v, read.optimizer(), "v.", source);
    model.model().weights = std::move(weights);
    ++model.model().revision;
    optimizer.m() = std::move(m);
    optimizer.v() = std::move(v);
    optimizer.set_updates(updates);
    model.scale().restore(scale, skipped, good);
}

}  // namespace pome::train
