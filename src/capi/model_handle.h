#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "capi/open_handles.h"

namespace pome::capi {

/// Weights that may be bound to several pipelines, on several devices. Lock the device first, then
/// these.
struct SharedWeights {
    explicit SharedWeights(train::TrainableModel read)
        : model(std::make_shared<train::TrainableModel>(std::move(read))) {}
    std::shared_ptr<train::TrainableModel> model;
    std::mutex mutex;
};

/// Weights on a device, with an optimizer.
struct BoundModel {
    BoundModel(std::shared_ptr<OpenedDevice> on, std::shared_ptr<SharedWeights> with,
               const train::StepwiseModel::Options& options)
        : opened(std::move(on)),
          weights(std::move(with)),
          model(train::StepwiseModel::make(
              weights->model, [device = opened.get()] { return device->open(); }, opened->pool,
              options)),
          optimizer(weights->model->weights) {}

    std::shared_ptr<OpenedDevice> opened;  // outlives the model
    std::shared_ptr<SharedWeights> weights;
    std::unique_ptr<train::StepwiseModel> model;
    train::Optimizer optimizer;
};

/// The type of what the loss compares with.
inline std::pair<DType, Shape> target_of(const train::StepwiseModel& model) {
    if (model.loss() == train::Loss::cross_entropy) {
        return {DType::int32, Shape{model.output_shape()[-1]}};
    }
    return {DType::fp32, model.output_shape()};
}

}  // namespace pome::capi
