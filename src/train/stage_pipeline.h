#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/matmul.h"
#include "mil/autodiff/autodiff.h"
#include "train/pipeline.h"

namespace pome::train {

/// Who computes weight gradients: the host, as fp32 products of the fp16 values that the engine
/// computed with, or the backward program, whose outputs "d_<weight>" the pipeline then binds.
enum class WeightGradients : std::uint8_t { host, device };

/// How a stage is differentiated.
struct Differentiation {
    WeightGradients gradients = WeightGradients::host;
    mil::autodiff::Recompute recompute = mil::autodiff::Recompute::cheap;
};

/// The two programs of a stage in training: forward with the activations that backward wants among
/// its outputs, and backward, with the weight gradients or without them.
mil::autodiff::Differentiated training_programs(const model::Stage& stage,
                                                const Differentiation& wanted = {});

/// What pipelines of stages have in common, whichever way the weights reach the engine: a stage
/// differentiated once a kind, surfaces of every block, and weight gradients on the host where a
/// pipeline does not say otherwise.
class StagePipeline : public Pipeline {
  public:
    ~StagePipeline() override;

    void forward(std::size_t block, const float* x, float* y) override;
    void backward(std::size_t block, const float* dy, float* dx, ParameterSet& gradients) override;
    bool take_overflow() override;
    void set_watching(bool watching) override { watching_ = watching; }
    StageHealths take_stage_health() override { return std::exchange(stage_health_, {}); }

  protected:
    enum class Direction : std::uint8_t { forward, backward };

    /// A stage and, for training, its two halves.
    struct Kind {
        model::Stage stage;
        mil::autodiff::Differentiated parts;  ///< training only
        const mil::Function& function(Direction direction, bool training) const {
            return !training                         ? stage.function
                   : direction == Direction::forward ? parts.forward
                                                     : parts.backward;
        }
    };
    /// One block: what its two evaluations are bound to. Inputs that are weights, and others that a
    /// pipeline adds, are bound by the pipeline.
    struct Layer {
        const Kind* kind = nullptr;
        std::map<std::string, device::Surface, std::less<>> values;  ///< "x" and saved activations
        device::Bindings forward, backward;
    };

    /// Architecture and pool must outlive this. `training` false keeps no activations and has no
    /// backward().
    StagePipeline(const model::Architecture& architecture, ThreadPool& pool,
                  const model::Form& form, bool training, const Differentiation& wanted);

    /// One evaluation of a block's stage with bindings(); adds to times().device.
    virtual void evaluate(std::size_t block, Direction direction) = 0;
    /// Evaluates a block's program with bindings(), and counts what its arithmetic did.
    void evaluate_and_count(device::Executable& program, std::size_t block, Direction direction);
    /// Called after a backward evaluation: adds the gradients of the block's weights to where they
    /// are summed.
    virtual void add_weight_gradients(std::size_t block, ParameterSet& gradients);
    /// Results that left the engine's range in all evaluations so far.
    virtual std::int64_t saturated() const = 0;

    const model::Architecture& architecture() const { return architecture_; }
    const model::Form& form() const { return form_; }
    bool is_training() const { return training_; }
    ThreadPool& pool() { return pool_; }
    std::size_t blocks() const { return layers_.size(); }
    const Layer& layer(std::size_t block) const { return *layers_[block]; }
    device::Bindings& bindings(std::size_t block, Direction direction) {
        Layer& layer = *layers_[block];
        return direction == Direction::forward ? layer.forward : layer.backward;
    }
    /// The parameter of the model that is weight `index` of the block's stage.
    const std::string& parameter(std::size_t block, std::size_t index) const {
        return architecture_.blocks[block].weights[index];
    }
    /// "attention forward"
    std::string title(std::size_t block, Direction direction) const {
        return layers_[block]->kind->stage.name +
               (direction == Direction::forward ? " forward" : " backward");
    }

  private:
    void evaluate_and_look(std::size_t block, Direction direction);
    const Kind& kind(model::StageKind which);
    void bind_forward(Layer& layer);
    void bind_backward(Layer& layer);
    /// Copies of the operands of a block's weight gradients, by stage and value, where surfaces
    /// cannot be read in their place: in fp32 of those in fp32, in fp16 where the work goes on
    /// while the next block is evaluated. Memory is kept from block to block.
    struct Operands {
        std::map<std::string, std::vector<float>, std::less<>> values;
        std::map<std::string, std::vector<fp16>, std::less<>> halves;
        kernels::MatmulScratch scratch;
        std::int64_t used_by = 0;  ///< the newest work that reads them
    };
    const device::Surface& operand_surface(std::size_t block, const std::string& name);
    /// The operand in fp32, or in fp16 as it lies; a value that is not finite is an overflow.
    const float* operand(std::size_t block, const std::string& name, Operands& operands);
    const fp16* half_operand(std::size_t block, const std::string& name, Operands& operands);

    const model::Architecture& architecture_;
    ThreadPool& pool_;
    model::Form form_;
    bool training_;
    Differentiation differentiation_;
    bool overflow_ = false;
    bool watching_ = false;
    StageHealths stage_health_;
    std::int64_t saturated_seen_ = 0;
    std::map<model::StageKind, std::unique_ptr<Kind>> kinds_;
    std::vector<std::unique_ptr<Layer>> layers_;
    std::array<Operands, 2> operands_;  // while one is read, the next block's go into the other
    std::size_t turn_ = 0;
    // One use at a time: shared by all layers.
    std::map<std::string, device::Surface, std::less<>> shared_;
};

}  // namespace pome::train
