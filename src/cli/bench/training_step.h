#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/thread_pool.h"
#include "device/device.h"
#include "train/dynamic_pipeline.h"
#include "train/language_model.h"
#include "train/parameters.h"

namespace pome::cli::bench {

/// Of one step.
struct StepFigures {
    double ms = 0.0, device_ms = 0.0, io_ms = 0.0, loss = 0.0;
};

/// Training steps of a model by the dynamic pipeline, to be timed: forward, backward, clipping,
/// AdamW, staging.
class TrainingStep {
  public:
    struct Options {
        bool overlap = false;
        mil::autodiff::Recompute recompute = mil::autodiff::Recompute::cheap;
    };
    /// `device` and `pool` must outlive this.
    TrainingStep(model::Architecture architecture, device::Device& device, ThreadPool& pool,
                 std::int64_t sequence, const Options& options, train::ParameterSet weights);

    /// One update on sequences one after another: of each its tokens and then its targets.
    StepFigures run(std::span<const std::int32_t> tokens);

    train::ParameterSet& gradients() { return gradients_; }

  private:
    model::Architecture architecture_;
    ThreadPool& pool_;
    std::size_t sequence_;
    train::ParameterSet weights_, gradients_, m_, v_;
    train::DynamicPipeline pipeline_;
    train::LanguageModel model_;
    int steps_ = 0;
};

/// Random tokens and targets of so many sequences.
std::vector<std::int32_t> random_tokens(std::int64_t batch, std::int64_t sequence,
                                        std::int64_t vocabulary, Random& random);

}  // namespace pome::cli::bench
