#include <algorithm>
#include <cmath>
#include <map>

#include "device/legalize/boundary.h"
#include "kernels/cross_entropy.h"
#include "mil/autodiff/autodiff.h"
#include "mil/passes/weights_as_inputs.h"
#include "train/baked_programs.h"
#include "train/stepwise_kinds.h"
#include "train/surface_io.h"

namespace pome::train {
namespace {

using device::Surface;

/// One direction of the model: a function, and how its weights reach the device.
struct Direction {
    mil::Function function;    // weights are inputs
    mil::passes::Baked baked;  // the same with weights as constants; static pipelines only
    std::unique_ptr<device::Executable> executable;
};

class StepwiseProgram final : public StepwiseModel {
  public:
    StepwiseProgram(std::shared_ptr<TrainableModel> model, OpenDevice open, ThreadPool& pool,
                    const std::string& pipeline, const LossScaleConfig& scale)
        : StepwiseModel(std::move(model), std::move(open), pool, pipeline, scale),
          described_(*this->model().program) {
        mil::autodiff::Options wanted;
        for (std::size_t i = 0; i < weights().size(); ++i) {
            wanted.with_respect_to.push_back(weights().parameter(i).name);
        }
        auto parts = mil::autodiff::differentiate(described_.function, wanted);
        forward_.function = std::move(parts.forward);
        backward_.function = std::move(parts.backward);
        output_name_ = described_.function.outputs.front();
        const mil::Type &x = *described_.function.find_type(described_.input),
                        &y = *described_.function.find_type(output_name_);
        set_shapes(x.shape, y.shape);
        if (is_static()) {
            for (Direction* direction : {&forward_, &backward_}) {
                std::vector<std::string> used;
                for (const auto& input : direction->function.parameters) {
                    if (is_weight(input.name)) {
                        used.push_back(input.name);
                    }
                }
                direction->baked = mil::passes::inputs_to_constants(direction->function, used);
            }
        }
        for (const Direction* direction : {&forward_, &backward_}) {
            for (const auto& input : direction->function.parameters) {
                surfaces_.try_emplace(input.name, input.type);
            }
            for (const auto& output : device::output_types(direction->function)) {
                surfaces_.try_emplace(output.name, output.type);
            }
        }
    }

  private:
    ParameterSet& weights() { return model().weights; }
    bool is_weight(const std::string& name) {
        for (std::size_t i = 0; i < weights().size(); ++i) {
            if (weights().parameter(i).name == name) {
                return true;
            }
        }
        return false;
    }

    std::int64_t needed_compiles() const override {
        return is_static() || forward_.executable == nullptr ? 2 : 0;
    }
    void device_is_about_to_go() override {
        forward_.executable.reset();
        backward_.executable.reset();
    }

    void take_weights() override {
        if (is_static() || forward_.executable == nullptr) {
            for (Direction* direction : {&forward_, &backward_}) {
                compile(*direction);
            }
        }
        if (!is_static()) {
            for (std::size_t i = 0; i < weights().size(); ++i) {
                const auto found = surfaces_.find(weights().parameter(i).name);
                store(weights().values(i).data(), found->second, pool());
            }
        }
    }

    void compile(Direction& direction) {
        mil::WeightFiles files = described_.tables;
        for (const auto& weight : direction.baked.weights) {
            files.add(weight.path, weight_file(weight, weights().values(weight.parameter)));
        }
        const auto& function = is_static() ? direction.baked.function : direction.function;
        direction.executable.reset();  // the old one gives its place back first
        direction.executable = device::compile_legalized(
            device(), {device::program_for(function, device().profile()), std::move(files)});
    }

    void evaluate(Direction& direction) {
        device::Bindings bindings;
        for (const auto& input : direction.executable->inputs()) {
            bindings.inputs[input.name] = &surfaces_.find(input.name)->second;
        }
        for (const auto& output : direction.executable->outputs()) {
            bindings.outputs[output.name] = &surfaces_.find(output.name)->second;
        }
        direction.executable->evaluate(bindings);
    }

    HostTensor run(const HostTensor& input) override {
        store(input.floats.data(), surfaces_.find(described_.input)->second, pool());
        evaluate(forward_);
        HostTensor output{DType::fp32, output_shape(), {}, {}};
        output.floats.resize(static_cast<std::size_t>(output_shape().elements()));
        load(surfaces_.find(output_name_)->second, output.floats.data(), pool());
        y_ = output.floats;
        return output;
    }

    /// dL/dy for y_, and the loss.
    std::vector<float> output_gradient(const HostTensor& target, double& loss) {
        std::vector<float> dy(y_.size());
        if (described_.loss == Loss::mean_squared_error) {
            const auto count = static_cast<double>(y_.size());
            double sum = 0.0;
            for (std::size_t i = 0; i < y_.size(); ++i) {
                const double difference = static_cast<double>(y_[i]) - target.floats[i];
                sum += difference * difference;
                dy[i] = static_cast<float>(2.0 * difference / count);
            }
            loss = sum / count;
            return dy;
        }
        const auto positions = static_cast<std::size_t>(output_shape()[-1]),
                   classes = y_.size() / positions;
        std::vector<float> logits(y_.size());  // [positions][classes]
        for (std::size_t c = 0; c < classes; ++c) {
            for (std::size_t s = 0; s < positions; ++s) {
                logits[s * classes + c] = y_[c * positions + s];
            }
        }
        const auto counted = std::count_if(target.integers.begin(), target.integers.end(),
                                           [](std::int32_t t) { return t >= 0; });
        const float mean = counted > 0 ? 1.0F / static_cast<float>(counted) : 0.0F;
        loss = kernels::cross_entropy(logits.data(), target.integers,
                                      static_cast<std::int64_t>(classes), mean, pool())
                   .loss *
               static_cast<double>(mean);
        for (std::size_t c = 0; c < classes; ++c) {
            for (std::size_t s = 0; s < positions; ++s) {
                dy[c * positions + s] = logits[s * classes + c];
            }
        }
        return dy;
    }

    bool differentiate(const HostTensor& target, double scale, Gradients& gradients) override {
        std::vector<float> dy = output_gradient(target, gradients.loss);
        for (float& value : dy) {
            value *= static_cast<float>(scale);
        }
        const auto count = static_cast<std::int64_t>(dy.size());
        Surface& surface = surfaces_.find("d_" + output_name_)->second;
        if (surface.type().dtype == DType::fp16 && leaves_fp16(dy.data(), count)) {
            return false;
        }
        store(dy.data(), surface, pool());
        const std::int64_t before = backward_.executable->arithmetic().saturated;
        evaluate(backward_);
        bool fits = backward_.executable->arithmetic().saturated == before;
        for (std::size_t i = 0; i < weights().size(); ++i) {
            const auto found = surfaces_.find("d_" + weights().parameter(i).name);
            const auto values = gradients.values.values(i);
            load(found->second, values.data(), pool());
            fits = fits && !has_infinity(values.data(), static_cast<std::int64_t>(values.size()));
        }
        return fits;
    }

    const ProgramModel& described_;
    Direction forward_, backward_;
    std::string output_name_;
    std::map<std::string, Surface, std::less<>> surfaces_;  // by the functions' own names
    std::vector<float> y_;                                  // of the last forward()
};

}  // namespace

std::unique_ptr<StepwiseModel> make_stepwise_program(std::shared_ptr<TrainableModel> model,
                                                     OpenDevice open, ThreadPool& pool,
                                                     const std::string& pipeline,
                                                     const LossScaleConfig& scale) {
    return std::make_unique<StepwiseProgram>(std::move(model), std::move(open), pool, pipeline,
                                             scale);
}

}  // namespace pome::train
