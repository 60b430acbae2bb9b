#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "device/device.h"
#include "train/config.h"
#include "train/schedule.h"
#include "train/trainable_model.h"

namespace pome::train {

/// Numbers that go to or come from a model: fp32, or int32 for tokens and classes.
struct HostTensor {
    DType dtype = DType::fp32;
    Shape shape;
    std::vector<float> floats;           ///< when dtype is fp32
    std::vector<std::int32_t> integers;  ///< when dtype is int32
};

/// The gradient of the loss for every weight, unscaled.
struct Gradients {
    ParameterSet values;
    double loss = 0.0;
};

/// A device as a new process would find it.
using OpenDevice = std::function<std::unique_ptr<device::Device>()>;

/// A model on a device whose training loop is somebody else's: forward, backward and update are
/// calls. THREADS: one call at a time, and one model at a time for each pool.
class StepwiseModel {
  public:
    struct Options {
        std::string pipeline = "auto";  ///< auto | dynamic | static
        std::int64_t sequence = 0;      ///< positions of a language model; 0: the model's
        LossScaleConfig loss_scale;
    };
    /// The pool must outlive this. `open` is called now and, by a static pipeline, whenever a
    /// device's compile budget is used up. Throws Error{unsupported} for a pipeline that the chip
    /// does not run, Error{compile_failed}.
    static std::unique_ptr<StepwiseModel> make(std::shared_ptr<TrainableModel> model,
                                               OpenDevice open, ThreadPool& pool,
                                               const Options& options);
    virtual ~StepwiseModel() = default;

    /// fp32 in the program's shape, or int32 [S] token ids.
    const Shape& input_shape() const { return input_; }
    DType input_dtype() const { return model_->program ? DType::fp32 : DType::int32; }
    /// Always fp32; logits are [1, classes, 1, S].
    const Shape& output_shape() const { return output_; }
    Loss loss() const { return model_->program ? model_->program->loss : Loss::cross_entropy; }
    const std::string& pipeline() const { return pipeline_; }  ///< "dynamic" or "static"
    TrainableModel& model() { return *model_; }
    std::int64_t compiles() const { return compiles_before_ + device_->compiles(); }
    double loss_scale() const { return scale_.scale(); }
    LossScale& scale() { return scale_; }

    /// The output for the weights of the moment. Throws Error{surface_mismatch} for an input of
    /// another shape or dtype, Error{invalid_argument} for a token outside the vocabulary.
    HostTensor forward(const HostTensor& input);

    /// The gradients of the loss between the last forward()'s output and a target: fp32 of the
    /// output's shape (mean_squared_error) or int32 [S], -1 where it does not count
    /// (cross_entropy). Gradients that leave the engine's range are computed again with half the
    /// scale. Throws Error{invalid_argument} before a forward(), Error{diverged} when they leave it
    /// at every scale.
    Gradients backward(const HostTensor& target);

  protected:
    StepwiseModel(std::shared_ptr<TrainableModel> model, OpenDevice open, ThreadPool& pool,
                  std::string pipeline, const LossScaleConfig& scale);

    virtual void take_weights() = 0;                   ///< that changed
    virtual std::int64_t needed_compiles() const = 0;  ///< of take_weights()
    virtual void device_is_about_to_go() = 0;          ///< release everything of it
    virtual HostTensor run(const HostTensor& input) = 0;
    /// One attempt with a scale; false: something left the engine's range.
    virtual bool differentiate(const HostTensor& target, double scale, Gradients& gradients) = 0;

    bool is_static() const { return pipeline_ == "static"; }
    device::Device& device() { return *device_; }
    ThreadPool& pool() { return pool_; }
    void set_shapes(Shape input, Shape output) {
        input_ = std::move(input);
        output_ = std::move(output);
    }

  private:
    void prepare();

    std::shared_ptr<TrainableModel> model_;
    OpenDevice open_;
    ThreadPool& pool_;
    std::unique_ptr<device::Device> device_;
    std::string pipeline_;
    Shape input_, output_;
    LossScale scale_;
    std::int64_t taken_ = -1;  ///< revision of the weights that the device has
    std::int64_t compiles_before_ = 0;
    bool ran_ = false;
};

/// How weights follow their gradients.
struct UpdateRule {
    bool adamw = false;  ///< else plain SGD: w -= learning_rate (g + weight_decay w)
    double learning_rate = 1e-3;
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    double weight_decay = 0.0;  ///< decoupled for AdamW; none on vectors
    double clip_norm = 0.0;     ///< global L2 norm; 0: no clipping
};

/// AdamW's moments, and updates so far.
class Optimizer {
  public:
    explicit Optimizer(const ParameterSet& like) : m_(like), v_(like) { clear(); }
    /// Throws Error{invalid_argument} for numbers outside their range, Error{diverged} for
    /// gradients that are not finite; then the weights are as they were.
    void update(const UpdateRule& rule, const ParameterSet& gradients, TrainableModel& model,
                ThreadPool& pool);
    void clear();

    ParameterSet& m() { return m_; }
    ParameterSet& v() { return v_; }
    std::int64_t updates() const { return updates_; }
    void set_updates(std::int64_t updates) { updates_ = updates; }

  private:
    ParameterSet m_, v_;
    std::int64_t updates_ = 0;
};

/// Writes weights, moments and the loss scale as a checkpoint directory (formats/checkpoint.h),
/// which resumes exactly; reading one checks that it is of this model.
void save_checkpoint(const std::filesystem::path& directory, StepwiseModel& model,
                     Optimizer& optimizer);
/// Throws Error{checkpoint_mismatch, malformed_file, io}; then nothing has changed.
void load_checkpoint(const std::filesystem::path& directory, StepwiseModel& model,
                     Optimizer& optimizer);

}  // namespace pome::train
