#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "formats/safetensors.h"
#include "kernels/adamw.h"
#include "model/optimizer.h"
#include "train/pipeline.h"

namespace pome::train {

/// A trainable matrix that lives on the engine.
struct ResidentTensor {
    std::string name;
    std::int64_t rows = 0, columns = 0;
    bool decays = true;
    std::size_t bundle = 0;  ///< tensors of one bundle are rewritten by one program
    /// [1, >= rows, 1, >= columns]: the rest stays zero.
    Shape surface;
};

/// "compensated" (weights and second moments are sums of two surfaces), "weights" (only those) or
/// "plain"; nothing for other names.
std::optional<model::StateForm> resident_form(std::string_view name);

/// Weights, moments and gradients of AdamW in the engine's surfaces, rewritten by programs of
/// model/optimizer.h, a bundle of tensors each; bundles of equal shapes share them. No program may
/// write what it reads: it writes to spare surfaces, one set for bundles of equal shapes, which
/// then change places with what they replace. The host writes ten numbers a tensor and an update,
/// and reads two.
///
/// Moments are kept in a unit of each tensor's own, a power of two chosen so that the gradients
/// that the moments remember are at most 2^7 and their squares at most 2^14: fp16's squares
/// overflow at 2^8 and fade below 2^-7. The unit moves when the largest of them leaves [2^5, 2^7].
class ResidentState {
  public:
    /// Device, pool and times must outlive this. Bundles are numbered from 0, each has a tensor.
    /// Throws Error{compile_failed}.
    ResidentState(device::Device& device, ThreadPool& pool, Times& times,
                  std::vector<ResidentTensor> tensors, const model::StateForm& form);
    ~ResidentState();

    std::size_t size() const { return tensors_.size(); }

    /// Starts a tensor from fp32 weights, its moments from zero.
    void set_weights(std::size_t index, std::span<const float> weights);
    /// Its weights with everything that both surfaces know, in fp32.
    void get_weights(std::size_t index, std::span<float> weights) const;
    /// What programs bind as the weight; the reference stays, its memory changes with every update.
    const device::Surface& weight(std::size_t index) const;

    /// Where a program is to write the gradient of one sequence; when all of a bundle are written,
    /// call take_gradients(), before another bundle's are. The first ones of an update are kept as
    /// they are, later ones are added to them on the engine.
    device::Surface& gradient_target(std::size_t index);
    void take_gradients(std::size_t bundle);
    /// The gradients' sum of squares, as they are. Infinite when an element is not finite.
    double sum_of_squares();
    /// Forgets the gradients: the update is skipped.
    void discard_gradients();

    /// One update of all tensors; gradients are forgotten. rule.weight_decay counts for tensors
    /// that decay. sum_of_squares() must have been called for these gradients and be finite.
    void update(const kernels::AdamW& rule);

    /// Everything that an update depends on, as tensors of the surfaces' type, for a checkpoint.
    /// The views stay valid until the next update.
    std::vector<formats::TensorView> state() const;
    /// Throws Error{checkpoint_mismatch} naming the tensor that is missing or does not fit.
    void restore(const formats::SafetensorsFile& file, const std::string& source);

  private:
    enum Slot : std::uint8_t { w, w_low, m, v, v_low, sum, sum_low, slots };
    struct Tensor {
        ResidentTensor what;
        std::size_t place = 0;  ///< in its bundle
        std::array<device::Surface, slots> surfaces;
        double peak = 0.0;  ///< of the newest gradient, as it is
        /// {largest true gradient that the moments remember, exponent of their unit}
        std::array<float, 2> range{};
    };
    /// For bundles of equal shapes.
    struct Programs {
        std::unique_ptr<device::Executable> update, size, accumulate;
        std::vector<Shape> shapes;
        device::Surface scalars, sizes;
        std::vector<device::Surface> later;  ///< gradients of one sequence, after the first
        std::vector<std::array<device::Surface, slots>> spare;
    };
    struct Bundle {
        std::vector<Tensor*> tensors;
        Programs* programs = nullptr;
        std::int64_t gradients = 0;  ///< taken since the last update
    };
    static bool used(Slot slot, const model::StateForm& form);
    void make_surfaces(std::array<device::Surface, slots>& surfaces, const Shape& shape) const;
    Programs& programs(const std::vector<Shape>& shapes);
    device::Surface surface(const Shape& shape) const;
    /// The tensor's part of a surface.
    std::vector<float> matrix(const device::Surface& surface, const ResidentTensor& what) const;
    std::unique_ptr<device::Executable> compile(mil::Function function);
    double rescale(Tensor& tensor, const kernels::AdamW& rule);
    void evaluate(device::Executable& executable, const device::Bindings& bindings);

    device::Device& device_;
    ThreadPool& pool_;
    Times& times_;
    model::StateForm form_;
    DType dtype_;
    std::map<std::string, std::unique_ptr<Programs>> programs_;  ///< by shapes
    std::vector<std::unique_ptr<Tensor>> tensors_;
    std::vector<Bundle> bundles_;
};

}  // namespace pome::train
