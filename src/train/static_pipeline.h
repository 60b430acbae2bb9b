#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "mil/passes/bake_weights.h"
#include "train/baked_programs.h"
#include "train/compile_queue.h"
#include "train/extra_programs.h"
#include "train/stage_pipeline.h"

namespace pome::train {

/// Weights baked into the programs: linear layers are 1x1 convolutions with constant weights, and
/// every update compiles the programs whose weights changed. They are compiled in the background in
/// the order in which they are needed, so evaluation of the first blocks goes on while later ones
/// are compiled; an evaluation never uses weights of an earlier update. Programs with equal text
/// and weights are compiled once. Extras put parts of the host's half on the engine too.
class StaticPipeline final : public StagePipeline {
  public:
    struct Options {
        bool training = false;
        std::filesystem::path failed_programs;  ///< where one that does not compile is kept
        std::set<Extra> extras;
        mil::autodiff::Recompute recompute = mil::autodiff::Recompute::cheap;
    };
    /// Device, pool and architecture must outlive this. Compiles nothing yet. Throws
    /// Error{unsupported} for an extra that the chip cannot run.
    StaticPipeline(const model::Architecture& architecture, device::Device& device,
                   ThreadPool& pool, const model::Form& form, const Options& options);
    ~StaticPipeline() override;

    /// Takes a copy of the weights and starts compiling. A program that the device refuses twice is
    /// an Error{compile_failed} of the evaluation that needs it.
    void stage_weights(const ParameterSet& weights) override;
    std::int64_t compiles_for_update() const override;
    bool take_overflow() override;
    const Offload& offload() const override { return extras_.offload(); }

  private:
    struct Baking {
        mil::passes::Baked forward, backward;
    };

    void evaluate(std::size_t block, Direction direction) override;
    std::int64_t saturated() const override { return saturated_; }
    const mil::passes::Baked& baked(std::size_t block, Direction direction) const;
    void stage(std::size_t block, Direction direction, const ParameterSet& weights);

    std::map<const Kind*, Baking> bakings_;
    std::vector<std::map<Direction, CompileQueue::Program>> slots_;
    std::int64_t saturated_ = 0;
    CompileQueue queue_;
    BakedPrograms programs_;
    ExtraPrograms extras_;
};

}  // namespace pome::train
