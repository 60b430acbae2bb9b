#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "mil/autodiff/autodiff.h"
#include "train/pipeline.h"

namespace pome::train {

/// Weights as inputs: each kind of stage is compiled once and shared by all layers; every layer has
/// its own surfaces for weights and saved activations, staged once an update. The host computes
/// weight gradients from the fp16 values that the engine computed with.
class DynamicPipeline final : public Pipeline {
  public:
    struct Options {
        bool training = false;        ///< false compiles the forward stages only
        bool scale_products = false;  ///< each matrix product carries a power of two
    };
    /// Device, pool and architecture must outlive this. Throws Error{compile_failed} in the
    /// device's words.
    DynamicPipeline(const model::Architecture& architecture, device::Device& device,
                    ThreadPool& pool, const model::Form& form, const Options& options);
    ~DynamicPipeline() override;

    void stage_weights(const ParameterSet& weights) override;
    void forward(std::size_t block, const float* x, float* y) override;
    void backward(std::size_t block, const float* dy, float* dx, ParameterSet& gradients) override;
    bool take_overflow() override;
    void set_measuring(bool measuring) override { measuring_ = measuring; }
    std::vector<int> product_exponents() const override;
    void restore_product_exponents(const std::vector<int>& exponents) override;

  private:
    struct Program;  // a stage, compiled
    struct Layer;    // a block's surfaces
    struct Pass;     // one of its two directions

    Program& program(model::StageKind kind);
    void bind_forward(Layer& layer);
    void bind_backward(Layer& layer);
    void add_scales(Pass& pass, const device::Executable& executable);
    void evaluate(Pass& pass);
    void add_weight_gradients(std::size_t block, ParameterSet& gradients);

    const model::Architecture& architecture_;
    device::Device& device_;
    ThreadPool& pool_;
    model::Form form_;
    Options options_;
    bool measuring_ = false;
    bool overflow_ = false;
    std::int64_t saturated_seen_ = 0;
    std::map<model::StageKind, std::unique_ptr<Program>> programs_;
    std::vector<std::unique_ptr<Layer>> layers_;
    std::map<std::string, std::vector<float>, std::less<>>
        operands_;  // of weight gradients, by stage and value
    // One use at a time: shared by all layers.
    std::map<std::string, device::Surface, std::less<>> shared_;
};

}  // namespace pome::train
