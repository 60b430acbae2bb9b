#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "formats/safetensors.h"
#include "kernels/adamw.h"
#include "train/host_work.h"
#include "train/offload.h"
#include "train/parameters.h"
#include "train/stage_health.h"
#include "train/timeline.h"

namespace pome::train {

/// Where the milliseconds of a step went.
struct Times {
    double device = 0.0;  ///< inside the device's evaluate()
    double io = 0.0;      ///< to and from surfaces: conversion, staging of weights
    double host = 0.0;    ///< everything that the host computes
    double wait = 0.0;    ///< for programs that are still being compiled
};

/// A part of a step's time.
enum class Part : std::uint8_t { device, io, host, wait };

/// How a model's blocks reach the engine. The trainer does not know which pipeline it uses.
/// Activations on the host are channel-first fp32: element (c, s) of [C][S] at c * S + s.
class Pipeline {
  public:
    virtual ~Pipeline() = default;

    /// Takes over new weights; needed before the first evaluation and after every update. A
    /// pipeline that keeps weights itself takes those once, unless restore_state() gave them
    /// already.
    virtual void stage_weights(const ParameterSet& weights) = 0;

    /// Programs that the device compiles anew for the weights of an update, at most; 0: none.
    virtual std::int64_t compiles_for_update() const { return 0; }

    /// y [C][S] = the stage of `block` applied to the normalised x [C][S].
    virtual void forward(std::size_t block, const float* x, float* y) = 0;

    /// For the last forward() of that block: dx [C][S] from dy [C][S], and the gradients of its
    /// weights added to `gradients`. Everything stays multiplied by the factor that dy was
    /// multiplied by.
    virtual void backward(std::size_t block, const float* dy, float* dx,
                          ParameterSet& gradients) = 0;

    /// Whether a value left the engine's range since the last call.
    virtual bool take_overflow() = 0;

    /// While `measuring`, each forward() and backward() also measures the operands of the block's
    /// matrix products and then chooses the power of two that each product carries from the next
    /// evaluation on. Does nothing for pipelines whose products carry none.
    virtual void set_measuring(bool /*measuring*/) {}
    /// The exponents of those powers of two, all blocks; what restore_product_exponents() takes.
    virtual std::vector<int> product_exponents() const { return {}; }
    /// Throws Error{checkpoint_mismatch} when the number of products differs.
    virtual void restore_product_exponents(const std::vector<int>& exponents);

    /// While `watching`, evaluations are looked at for stage_health.h: the values that they read
    /// and write, and what the device counted.
    virtual void set_watching(bool /*watching*/) {}
    /// What was seen and counted since the last call.
    virtual StageHealths take_stage_health() { return {}; }

    /// What this pipeline computes of the host's half.
    virtual const Offload& offload() const;

    /// Whether a parameter's weights, gradients and moments are the pipeline's own: the host then
    /// neither sees its gradients nor updates it. The rest of this block is about those.
    virtual bool keeps(std::string_view /*parameter*/) const { return false; }
    /// Sum of squares of their gradients since the last update, multiplied as backward() says, read
    /// before update(). Infinite after an overflow: then skip_update() must follow, and they are as
    /// they were.
    virtual double sum_of_squares() { return 0.0; }
    virtual void update(const kernels::AdamW& /*rule*/) {}
    virtual void skip_update() {}
    /// Writes their current weights into `weights`.
    virtual void fetch_weights(ParameterSet& /*weights*/) const {}
    /// What a checkpoint must hold of them for an exact resume; valid until the next update.
    virtual std::vector<formats::TensorView> state() const { return {}; }
    /// Throws Error{checkpoint_mismatch}.
    virtual void restore_state(const formats::SafetensorsFile& /*file*/,
                               const std::string& /*source*/) {}

    Times& times() { return times_; }
    ExtraCosts& extra_costs() { return extra_costs_; }
    Timeline& timeline() { return timeline_; }
    /// Times what the caller does until the span ends.
    Span span(Part part, std::string what, std::int64_t block = -1);

    /// Weight gradients are computed beside the device's evaluations by `threads` more threads: as
    /// many as the caller's pool has, for the same bits.
    void overlap_weight_gradients(int threads);
    /// Runs `work` beside the caller until wait_for_weight_gradients(), or with `pool` at once.
    /// Returns the number that wait_for_weight_gradients() takes.
    std::int64_t add_weight_gradient(std::string name, ThreadPool& pool,
                                     std::function<void(ThreadPool&)> work);
    void wait_for_weight_gradients();
    void wait_for_weight_gradients(std::int64_t number);
    /// The same when an error is on its way: what is thrown meanwhile is dropped.
    void drain_weight_gradients() noexcept;
    bool overlaps() const { return host_work_ != nullptr; }

  private:
    Times times_;
    ExtraCosts extra_costs_;
    Timeline timeline_;
    std::unique_ptr<HostWork> host_work_;
};

}  // namespace pome::train
