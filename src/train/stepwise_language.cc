#include <algorithm>

#include "train/dynamic_pipeline.h"
#include "train/language_model.h"
#include "train/static_pipeline.h"
#include "train/stepwise_kinds.h"
#include "train/trainer.h"

namespace pome::train {
namespace {

class StepwiseLanguage final : public StepwiseModel {
  public:
    StepwiseLanguage(std::shared_ptr<TrainableModel> model, OpenDevice open, ThreadPool& pool,
                     const std::string& pipeline, const LossScaleConfig& scale,
                     std::int64_t sequence)
        : StepwiseModel(std::move(model), std::move(open), pool, pipeline, scale),
          sequence_(sequence == 0 ? architecture().config.sequence : sequence) {
        if (sequence_ < 1 || sequence_ > architecture().config.sequence) {
            fail(Code::invalid_argument, "train.stepwise",
                 "sequence {} is not from 1 to {}, the positions of the model", sequence_,
                 architecture().config.sequence);
        }
        set_shapes({sequence_}, {1, architecture().config.vocabulary, 1, sequence_});
    }

  private:
    const model::Architecture& architecture() { return model().language; }

    std::int64_t needed_compiles() const override {
        return pipeline_ == nullptr ? 0 : pipeline_->compiles_for_update();
    }
    void device_is_about_to_go() override {
        language_.reset();
        pipeline_.reset();
    }

    void take_weights() override {
        if (pipeline_ == nullptr) {
            const model::Form form = stage_form({}, sequence_);
            if (is_static()) {
                StaticPipeline::Options options;
                options.training = true;
                pipeline_ = std::make_unique<StaticPipeline>(architecture(), device(), pool(), form,
                                                             options);
            } else {
                DynamicPipeline::Options options;
                options.training = true;
                pipeline_ = std::make_unique<DynamicPipeline>(architecture(), device(), pool(),
                                                              form, options);
            }
            language_ =
                std::make_unique<LanguageModel>(architecture(), *pipeline_, pool(), sequence_);
        }
        pipeline_->stage_weights(model().weights);
    }

    HostTensor run(const HostTensor& input) override {
        tokens_ = input.integers;
        const auto logits = language_->all_logits(tokens_, model().weights);  // [S][V]
        HostTensor output{DType::fp32, output_shape(), std::vector<float>(logits.size()), {}};
        const auto positions = static_cast<std::size_t>(sequence_),
                   classes = logits.size() / positions;
        for (std::size_t s = 0; s < positions; ++s) {
            for (std::size_t v = 0; v < classes; ++v) {
                output.floats[v * positions + s] = logits[s * classes + v];
            }
        }
        return output;
    }

    bool differentiate(const HostTensor& target, double scale, Gradients& gradients) override {
        const auto counted = std::count_if(target.integers.begin(), target.integers.end(),
                                           [](std::int32_t t) { return t >= 0; });
        gradients.loss = language_->forward(tokens_, target.integers, model().weights) /
                         static_cast<double>(std::max<std::ptrdiff_t>(counted, 1));
        pipeline_->take_overflow();
        language_->backward(scale, model().weights, gradients.values);
        return !pipeline_->take_overflow();
    }

    std::int64_t sequence_;
    std::unique_ptr<Pipeline> pipeline_;
    std::unique_ptr<LanguageModel> language_;
    std::vector<std::int32_t> tokens_;  // of the last forward()
};

}  // namespace

std::unique_ptr<StepwiseModel> make_stepwise_language(std::shared_ptr<TrainableModel> model,
                                                      OpenDevice open, ThreadPool& pool,
                                                      const std::string& pipeline,
                                                      const LossScaleConfig& scale,
                                                      std::int64_t sequence) {
    return std::make_unique<StepwiseLanguage>(std::move(model), std::move(open), pool, pipeline,
                                              scale, sequence);
}

}  // namespace pome::train
