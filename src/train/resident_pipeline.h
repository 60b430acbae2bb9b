#pragma once

#include <map>
#include <string>
#include <vector>

#include "train/dynamic_pipeline.h"
#include "train/resident_state.h"

namespace pome::train {

/// The dynamic pipeline with everything of the blocks on the engine: their weight gradients are
/// outputs of the backward programs, summed over a batch, measured and turned into new weights by
/// programs (resident_state.h). The host keeps embedding, norms and classifier.
class ResidentPipeline final : public DynamicPipeline {
  public:
    struct Options {
        model::StateForm form;
        bool scale_products = false;  ///< each matrix product carries a power of two
        mil::autodiff::Recompute recompute = mil::autodiff::Recompute::cheap;
    };
    /// Device, pool and architecture must outlive this. Throws Error{compile_failed}.
    ResidentPipeline(const model::Architecture& architecture, device::Device& device,
                     ThreadPool& pool, const model::Form& form, const Options& options);
    ~ResidentPipeline() override;

    void stage_weights(const ParameterSet& weights) override;
    bool keeps(std::string_view parameter) const override { return index_.contains(parameter); }
    double sum_of_squares() override;
    void update(const kernels::AdamW& rule) override;
    void skip_update() override;
    void fetch_weights(ParameterSet& weights) const override;
    std::vector<formats::TensorView> state() const override { return state_.state(); }
    void restore_state(const formats::SafetensorsFile& file, const std::string& source) override;

  private:
    void evaluate(std::size_t block, Direction direction) override;
    void add_weight_gradients(std::size_t block, ParameterSet& gradients) override;
    std::vector<ResidentTensor> tensors() const;
    /// The tensor of weight `at` of the block's stage.
    std::size_t tensor(std::size_t block, std::size_t at) const {
        return index_.find(parameter(block, at))->second;
    }

    ResidentState state_;
    std::map<std::string, std::size_t, std::less<>> index_;  ///< of a parameter, in state_
    bool started_ = false;
};

}  // namespace pome::train
