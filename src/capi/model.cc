#include <algorithm>
#include <bit>
#include <cmath>

#include "capi/model_handle.h"

using namespace pome;
using namespace pome::capi;

namespace {

constexpr std::string_view here = "capi.model";

struct ModelHandle : Object {
    template <typename... Args>
    explicit ModelHandle(Args&&... args) : bound(std::forward<Args>(args)...) {}
    BoundModel bound;
};

/// A model with its device and weights locked for one call.
class Locked {
  public:
    explicit Locked(pome_model* model)
        : handle_(Handles::all().find<ModelHandle>(model, "pome_model")),
          device_(handle_->bound.opened->mutex),
          weights_(handle_->bound.weights->mutex) {}
    train::StepwiseModel* operator->() { return handle_->bound.model.get(); }
    train::StepwiseModel& operator*() { return *handle_->bound.model; }
    train::Optimizer& optimizer() { return handle_->bound.optimizer; }
    train::TrainableModel& weights() { return handle_->bound.model->model(); }
    ThreadPool& pool() { return handle_->bound.opened->pool; }

  private:
    std::shared_ptr<ModelHandle> handle_;
    std::unique_lock<std::mutex> device_, weights_;
};

train::HostTensor tensor_of(DType dtype, const Shape& shape, const void* data, size_t bytes,
                            std::string_view what) {
    given(data, what);
    const auto elements = static_cast<size_t>(shape.elements());
    if (bytes != elements * 4) {
        fail(Code::surface_mismatch, here, "the {} has {} bytes, {} {} has {}", what, bytes,
             name(dtype), shape.text(), elements * 4);
    }
    train::HostTensor tensor{dtype, shape, {}, {}};
    if (dtype == DType::int32) {
        const auto* from = static_cast<const std::int32_t*>(data);
        tensor.integers.assign(from, from + elements);
    } else {
        const auto* from = static_cast<const float*>(data);
        tensor.floats.assign(from, from + elements);
    }
    return tensor;
}

train::UpdateRule rule_of(const pome_update_rule* from) {
    const pome_update_rule wanted = options_of(given(from, "rule"), "pome_update_rule");
    if (wanted.optimizer != POME_SGD && wanted.optimizer != POME_ADAMW) {
        fail(Code::invalid_argument, here, "optimizer {} is not POME_SGD or POME_ADAMW",
             wanted.optimizer);
    }
    const auto either = [](double value, double otherwise) {
        return value == 0.0 ? otherwise : value;
    };
    train::UpdateRule rule;
    rule.adamw = wanted.optimizer == POME_ADAMW;
    rule.learning_rate = wanted.learning_rate;
    rule.beta1 = either(wanted.beta1, rule.beta1);
    rule.beta2 = either(wanted.beta2, rule.beta2);
    rule.epsilon = either(wanted.epsilon, rule.epsilon);
    rule.weight_decay = wanted.weight_decay;
    rule.clip_norm = wanted.clip_norm;
    return rule;
}

size_t checked_index(const train::ParameterSet& weights, size_t index) {
    if (index >= weights.size()) {
        fail(Code::invalid_argument, here, "the model has {} weights, no number {}", weights.size(),
             index);
    }
    return index;
}

/// The values of one weight, of which the caller's array holds exactly `count`.
std::span<float> checked_values(train::ParameterSet& weights, size_t index, const void* array,
                                size_t count) {
    const auto values = weights.values(checked_index(weights, index));
    given(array, "values");
    if (count != values.size()) {
        fail(Code::surface_mismatch, here, "weight '{}' has {} elements, the array {}",
             weights.parameter(index).name, values.size(), count);
    }
    return values;
}

}  // namespace

pome_status pome_model_open(pome_device* device, const char* path,
                            const pome_model_options* options, pome_model** model) {
    return guarded([&] {
        given(model, "model");
        const auto opened = Handles::all().find<DeviceHandle>(device, "pome_device")->opened;
        const pome_model_options wanted = options_of(options, "pome_model_options");
        train::StepwiseModel::Options made;
        made.pipeline = wanted.pipeline == nullptr ? "auto" : wanted.pipeline;
        made.sequence = wanted.sequence;
        if (wanted.loss_scale != 0.0) {
            int exponent = 0;
            const bool is_power = std::frexp(wanted.loss_scale, &exponent) == 0.5;
            if (!is_power || wanted.loss_scale < 1.0 ||
                wanted.loss_scale > made.loss_scale.maximum) {
                fail(Code::invalid_argument, here, "loss_scale {} is no power of two from 1 to {}",
                     wanted.loss_scale, made.loss_scale.maximum);
            }
            made.loss_scale.initial = wanted.loss_scale;
        }
        const auto weights =
            std::make_shared<SharedWeights>(train::load_trainable(given(path, "path")));
        const std::lock_guard lock(opened->mutex);
        *model = static_cast<pome_model*>(
            Handles::all().add(std::make_shared<ModelHandle>(opened, weights, made)));
    });
}

void pome_model_destroy(pome_model* model) {
    guarded([&] { Handles::all().remove(model); });
}

pome_status pome_model_types(pome_model* model, pome_tensor_type* input, pome_tensor_type* output,
                             pome_tensor_type* target) {
    return guarded([&] {
        Locked locked(model);
        if (input != nullptr) {
            *input = type_of(locked->input_dtype(), locked->input_shape());
        }
        if (output != nullptr) {
            *output = type_of(DType::fp32, locked->output_shape());
        }
        if (target != nullptr) {
            const auto [dtype, shape] = target_of(*locked);
            *target = type_of(dtype, shape);
        }
    });
}

pome_status pome_model_pipeline(pome_model* model, const char** pipeline) {
    return guarded([&] {
        Locked locked(model);
        *given(pipeline, "pipeline") = locked->pipeline().c_str();
    });
}

pome_status pome_model_forward(pome_model* model, const void* input, size_t input_bytes,
                               float* output, size_t output_bytes) {
    return guarded([&] {
        Locked locked(model);
        const auto x =
            tensor_of(locked->input_dtype(), locked->input_shape(), input, input_bytes, "input");
        given(output, "output");
        const auto elements = static_cast<size_t>(locked->output_shape().elements());
        if (output_bytes != elements * sizeof(float)) {
            fail(Code::surface_mismatch, here, "the output has {} bytes, fp32 {} has {}",
                 output_bytes, locked->output_shape().text(), elements * sizeof(float));
        }
        const auto y = locked->forward(x);
        std::copy(y.floats.begin(), y.floats.end(), output);
    });
}

pome_status pome_model_train_step(pome_model* model, const void* input, size_t input_bytes,
                                  const void* target, size_t target_bytes,
                                  const pome_update_rule* rule, double* loss) {
    return guarded([&] {
        Locked locked(model);
        const auto wanted = rule_of(rule);
        const auto x =
            tensor_of(locked->input_dtype(), locked->input_shape(), input, input_bytes, "input");
        const auto [dtype, shape] = target_of(*locked);
        const auto t = tensor_of(dtype, shape, target, target_bytes, "target");
        locked->forward(x);
        const auto gradients = locked->backward(t);
        locked.optimizer().update(wanted, gradients.values, locked.weights(), locked.pool());
        if (loss != nullptr) {
            *loss = gradients.loss;
        }
    });
}

pome_status pome_model_parameter_count(pome_model* model, size_t* count) {
    return guarded([&] {
        Locked locked(model);
        *given(count, "count") = locked.weights().weights.size();
    });
}

pome_status pome_model_parameter(pome_model* model, size_t index, const char** name,
                                 pome_tensor_type* type) {
    return guarded([&] {
        Locked locked(model);
        const auto& weights = locked.weights().weights;
        const auto& parameter = weights.parameter(checked_index(weights, index));
        if (type != nullptr) {
            *type = type_of(DType::fp32, parameter.shape);
        }
        if (name != nullptr) {
            *name = parameter.name.c_str();
        }
    });
}

pome_status pome_model_read_parameter(pome_model* model, size_t index, float* values,
                                      size_t count) {
    return guarded([&] {
        Locked locked(model);
        const auto from = checked_values(locked.weights().weights, index, values, count);
        std::copy(from.begin(), from.end(), values);
    });
}

pome_status pome_model_write_parameter(pome_model* model, size_t index, const float* values,
                                       size_t count) {
    return guarded([&] {
        Locked locked(model);
        const auto to = checked_values(locked.weights().weights, index, values, count);
        if (!std::all_of(values, values + count, [](float v) { return std::isfinite(v); })) {
            fail(Code::invalid_argument, here, "weights must be finite");
        }
        std::copy(values, values + count, to.begin());
        ++locked.weights().revision;
    });
}

pome_status pome_model_save(pome_model* model, const char* path) {
    return guarded([&] {
        Locked locked(model);
        train::save_trainable(locked.weights(), given(path, "path"));
    });
}

pome_status pome_model_save_checkpoint(pome_model* model, const char* directory) {
    return guarded([&] {
        Locked locked(model);
        train::save_checkpoint(given(directory, "directory"), *locked, locked.optimizer());
    });
}

pome_status pome_model_load_checkpoint(pome_model* model, const char* directory) {
    return guarded([&] {
        Locked locked(model);
        train::load_checkpoint(given(directory, "directory"), *locked, locked.optimizer());
    });
}
