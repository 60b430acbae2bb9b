#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "mil/passes/bake_weights.h"
#include "train/compile_queue.h"
#include "train/stage_pipeline.h"

namespace pome::train {

/// Weights baked into the programs: linear layers are 1x1 convolutions with constant weights, and
/// every update compiles the programs whose weights changed. They are compiled in the background in
/// the order in which they are needed, so evaluation of the first blocks goes on while later ones
/// are compiled; an evaluation never uses weights of an earlier update. Programs with equal text
/// and weights are compiled once.
class StaticPipeline final : public StagePipeline {
  public:
    struct Options {
        bool training = false;
        std::filesystem::path failed_programs;  ///< where one that does not compile is kept
    };
    /// Device, pool and architecture must outlive this. Compiles nothing yet.
    StaticPipeline(const model::Architecture& architecture, device::Device& device,
                   ThreadPool& pool, const model::Form& form, const Options& options);
    ~StaticPipeline() override;

    /// Takes a copy of the weights and starts compiling. A program that the device refuses twice is
    /// an Error{compile_failed} of the evaluation that needs it.
    void stage_weights(const ParameterSet& weights) override;
    std::int64_t compiles_for_update() const override;

  private:
    struct Baking {
        mil::passes::Baked forward, backward;
    };
    /// 128 bits over a program's weight files: equal ones are taken for equal files.
    using Digest = std::array<std::uint64_t, 2>;
    struct Slot {
        Digest digest{};
        CompileQueue::Program program;
    };

    void evaluate(std::size_t block, Direction direction) override;
    std::int64_t saturated() const override { return saturated_; }
    const mil::passes::Baked& baked(std::size_t block, Direction direction) const;
    void stage(std::size_t block, Direction direction, const ParameterSet& weights);
    device::Executable& executable(std::size_t block, Direction direction);

    device::Device& device_;
    std::map<const Kind*, Baking> bakings_;
    std::vector<std::map<Direction, Slot>> slots_;
    std::int64_t saturated_ = 0;
    CompileQueue queue_;  // last: its thread uses the others
};

}  // namespace pome::train
