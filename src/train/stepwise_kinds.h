#pragma once

#include <memory>
#include <string>

#include "train/stepwise_model.h"

namespace pome::train {

// The two kinds of models that StepwiseModel::make() chooses from.

/// A program: every weight's gradient is computed by the device.
std::unique_ptr<StepwiseModel> make_stepwise_program(std::shared_ptr<TrainableModel> model,
                                                     OpenDevice open, ThreadPool& pool,
                                                     const std::string& pipeline,
                                                     const LossScaleConfig& scale);

/// A language model: LanguageModel over a DynamicPipeline or a StaticPipeline.
std::unique_ptr<StepwiseModel> make_stepwise_language(std::shared_ptr<TrainableModel> model,
                                                      OpenDevice open, ThreadPool& pool,
                                                      const std::string& pipeline,
                                                      const LossScaleConfig& scale,
                                                      std::int64_t sequence);

}  // namespace pome::train
