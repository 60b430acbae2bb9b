#pragma once

#include <map>
#include <memory>
#include <vector>

#include "train/product_scaling.h"
#include "train/stage_pipeline.h"

namespace pome::train {

/// Weights as inputs: each kind of stage is compiled once and shared by all layers; every layer has
/// its own surfaces for weights, staged once an update.
class DynamicPipeline : public StagePipeline {
  public:
    struct Options {
        bool training = false;        ///< false compiles the forward stages only
        bool scale_products = false;  ///< each matrix product carries a power of two
        /// Weights and their gradients are surfaces of someone else, who binds them.
        bool resident = false;
        mil::autodiff::Recompute recompute = mil::autodiff::Recompute::cheap;
    };
    /// Device, pool and architecture must outlive this. Throws Error{compile_failed} in the
    /// device's words.
    DynamicPipeline(const model::Architecture& architecture, device::Device& device,
                    ThreadPool& pool, const model::Form& form, const Options& options);
    ~DynamicPipeline() override;

    void stage_weights(const ParameterSet& weights) override;
    void set_measuring(bool measuring) override { measuring_ = measuring; }
    std::vector<int> product_exponents() const override;
    void restore_product_exponents(const std::vector<int>& exponents) override;

  protected:
    void evaluate(std::size_t block, Direction direction) override;
    std::int64_t saturated() const override;

  private:
    /// A stage in one direction, compiled, and what chooses the scales of its products.
    struct Program {
        std::unique_ptr<device::Executable> executable;
        std::unique_ptr<ProductScaling> scaling;
    };
    /// One block in one direction.
    struct Pass {
        Program* program = nullptr;
        device::Surface scales;      // "product_scales", where products are scaled
        std::vector<int> exponents;  // what it holds
    };
    struct Block {
        std::vector<device::Surface> weights;  // in the order of Stage::weights
        std::map<Direction, Pass> passes;
    };

    Program& program(const Kind& kind, Direction direction);
    void bind(std::size_t block, Direction direction);

    device::Device& device_;
    Options options_;
    bool measuring_ = false;
    std::map<std::pair<const Kind*, Direction>, Program> programs_;
    std::vector<Block> blocks_;
};

}  // namespace pome::train
