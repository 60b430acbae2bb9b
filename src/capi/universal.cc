#include <algorithm>
#include <cstring>

#include "base/fp16.h"
#include "capi/model_handle.h"
#include "pome/ane_universal.h"

using namespace pome;
using namespace pome::capi;

namespace {

constexpr std::string_view here = "ane";

/// What ane_close() releases: the handles of everything that was made with a device.
struct UniversalDevice : Object {
    std::shared_ptr<OpenedDevice> opened;
    std::mutex mutex;
    std::vector<void*> made;

    template <typename T>
    T add(std::shared_ptr<Object> object) {
        void* handle = Handles::all().add(std::move(object));
        const std::lock_guard lock(mutex);
        made.push_back(handle);
        return static_cast<T>(handle);
    }
    void forget(const void* handle) {
        const std::lock_guard lock(mutex);
        std::erase(made, handle);
    }
};

/// A part of a device: knows where its handle is written down.
struct Part : Object {
    std::weak_ptr<UniversalDevice> device;
};

struct Pipeline : Part {
    std::string kind;  // "dynamic" or "static"
    std::shared_ptr<OpenedDevice> opened;
    std::unique_ptr<BoundModel> bound;  // after ane_bind_weights()
    train::UpdateRule rule;
    std::int64_t passes = 0;
};

struct Tensor : Part {
    train::HostTensor values;
    // Of an output or a gradient: where it comes from.
    std::weak_ptr<Pipeline> pipeline;
    std::int64_t pass = 0;
    std::unique_ptr<train::Gradients> gradients;
};

struct Weights : Object {
    std::shared_ptr<SharedWeights> shared;
};

std::shared_ptr<UniversalDevice> device_of(ane_device_t device) {
    return Handles::all().find<UniversalDevice>(device, "ane_device_t");
}
std::shared_ptr<Pipeline> pipeline_of(ane_pipeline_t pipeline) {
    return Handles::all().find<Pipeline>(pipeline, "ane_pipeline_t");
}
std::shared_ptr<Tensor> tensor_of(ane_tensor_t tensor) {
    return Handles::all().find<Tensor>(tensor, "ane_tensor_t");
}
std::shared_ptr<SharedWeights> weights_of(ane_weights_t weights) {
    return Handles::all().find<Weights>(weights, "ane_weights_t")->shared;
}

/// A pipeline with weights, locked for one call.
class Locked {
  public:
    explicit Locked(ane_pipeline_t handle)
        : pipeline_(pipeline_of(handle)), device_(pipeline_->opened->mutex) {
        if (!pipeline_->bound) {
            fail(Code::invalid_argument, here,
                 "the pipeline has no weights: ane_bind_weights() comes first");
        }
        weights_ = std::unique_lock(bound().weights->mutex);
    }
    std::shared_ptr<Pipeline>& pipeline() { return pipeline_; }
    BoundModel& bound() { return *pipeline_->bound; }
    train::StepwiseModel& model() { return *bound().model; }

  private:
    std::shared_ptr<Pipeline> pipeline_;
    std::unique_lock<std::mutex> device_, weights_;
};

ane_tensor_t add_result(const std::shared_ptr<Pipeline>& pipeline,
                        const std::shared_ptr<Tensor>& tensor) {
    const auto device = pipeline->device.lock();
    if (!device) {
        fail(Code::invalid_argument, here, "the pipeline's device was closed");
    }
    tensor->device = device;
    tensor->pipeline = pipeline;
    tensor->pass = pipeline->passes;
    return device->add<ane_tensor_t>(tensor);
}

ane_shape_t shape_of(DType dtype, const Shape& shape) {
    ane_shape_t made{};
    made.count = shape.rank();
    made.dtype = dtype == DType::int32 ? ANE_INT32 : ANE_FLOAT32;
    if (shape.rank() > ANE_MAX_RANK) {
        fail(Code::unsupported, here, "{} has more than {} axes", shape.text(), ANE_MAX_RANK);
    }
    std::copy(shape.begin(), shape.end(), made.sizes);
    return made;
}

ane_pipeline_t create(ane_device_t handle, const char* kind) {
    return guarded_or<ane_pipeline_t>(nullptr, [&] {
        const auto device = device_of(handle);
        const std::lock_guard lock(device->opened->mutex);
        if (std::string_view(kind) == "dynamic" && !device->opened->runtime_weights()) {
            fail(Code::unsupported, here,
                 "{} does not run programs whose weights are inputs; use "
                 "ane_create_static_pipeline()",
                 device->opened->name);
        }
        auto pipeline = std::make_shared<Pipeline>();
        pipeline->kind = kind;
        pipeline->device = device;
        pipeline->opened = device->opened;
        return device->add<ane_pipeline_t>(pipeline);
    });
}

void destroy_part(const void* handle) {
    guarded([&] {
        const auto part = std::dynamic_pointer_cast<Part>(Handles::all().remove(handle));
        if (const auto device = part ? part->device.lock() : nullptr) {
            device->forget(handle);
        }
    });
}

std::size_t checked_index(const train::ParameterSet& weights, int index) {
    if (index < 0 || static_cast<std::size_t>(index) >= weights.size()) {
        fail(Code::invalid_argument, here, "there are {} weights, no number {}", weights.size(),
             index);
    }
    return static_cast<std::size_t>(index);
}

void copy_out(std::span<const float> from, float* values, std::size_t count) {
    given(values, "values");
    if (count != from.size()) {
        fail(Code::surface_mismatch, here, "{} values are there, the array has room for {}",
             from.size(), count);
    }
    std::copy(from.begin(), from.end(), values);
}

}  // namespace

uint32_t ane_abi_version(void) {
    return ANE_ABI_VERSION;
}

const char* ane_last_error(void) {
    return last_error();
}

ane_status_t ane_last_status(void) {
    return last_status();
}

ane_device_t ane_open(void) {
    return guarded_or<ane_device_t>(nullptr, [] {
        auto device = std::make_shared<UniversalDevice>();
        device->opened =
            std::make_shared<OpenedDevice>(device::DeviceRequest{.device = default_device()}, 0);
        return static_cast<ane_device_t>(Handles::all().add(std::move(device)));
    });
}

void ane_close(ane_device_t handle) {
    guarded([&] {
        const auto device =
            std::dynamic_pointer_cast<UniversalDevice>(Handles::all().remove(handle));
        if (!device) {
            return;
        }
        std::vector<void*> made;
        {
            const std::lock_guard lock(device->mutex);
            made.swap(device->made);
        }
        for (const void* part : made) {
            Handles::all().remove(part);
        }
    });
}

const char* ane_device_name(ane_device_t device) {
    return guarded_or<const char*>(nullptr,
                                   [&] { return device_of(device)->opened->name.c_str(); });
}

bool ane_supports_inmem(ane_device_t device) {
    return guarded_or<bool>(false, [&] {
        device_of(device);
        return true;
    });
}

bool ane_supports_dynamic(ane_device_t handle) {
    return guarded_or<bool>(false, [&] {
        const auto device = device_of(handle);
        const std::lock_guard lock(device->opened->mutex);
        return device->opened->runtime_weights();
    });
}

ane_pipeline_t ane_create_dynamic_pipeline(ane_device_t device) {
    return create(device, "dynamic");
}

ane_pipeline_t ane_create_static_pipeline(ane_device_t device) {
    return create(device, "static");
}

void ane_destroy_pipeline(ane_pipeline_t pipeline) {
    destroy_part(pipeline);
}

ane_weights_t ane_load_weights(const char* path) {
    return guarded_or<ane_weights_t>(nullptr, [&] {
        auto weights = std::make_shared<Weights>();
        weights->shared =
            std::make_shared<SharedWeights>(train::load_trainable(given(path, "path")));
        return static_cast<ane_weights_t>(Handles::all().add(std::move(weights)));
    });
}

ane_status_t ane_save_weights(ane_weights_t handle, const char* path) {
    return guarded([&] {
        const auto weights = weights_of(handle);
        const std::lock_guard lock(weights->mutex);
        train::save_trainable(*weights->model, given(path, "path"));
    });
}

void ane_destroy_weights(ane_weights_t weights) {
    guarded([&] { Handles::all().remove(weights); });
}

int ane_weight_count(ane_weights_t handle) {
    return guarded_or(-1,
                      [&] { return static_cast<int>(weights_of(handle)->model->weights.size()); });
}

const char* ane_weight_name(ane_weights_t handle, int index) {
    return guarded_or<const char*>(nullptr, [&] {
        const auto weights = weights_of(handle);
        const auto& set = weights->model->weights;
        return set.parameter(checked_index(set, index)).name.c_str();
    });
}

ane_status_t ane_weight_shape(ane_weights_t handle, int index, ane_shape_t* shape) {
    return guarded([&] {
        const auto weights = weights_of(handle);
        const auto& set = weights->model->weights;
        *given(shape, "shape") =
            shape_of(DType::fp32, set.parameter(checked_index(set, index)).shape);
    });
}

ane_status_t ane_read_weight(ane_weights_t handle, int index, float* values, size_t count) {
    return guarded([&] {
        const auto weights = weights_of(handle);
        const std::lock_guard lock(weights->mutex);
        const auto& set = weights->model->weights;
        copy_out(set.values(checked_index(set, index)), values, count);
    });
}

ane_status_t ane_bind_weights(ane_pipeline_t handle, ane_weights_t weights) {
    return guarded([&] {
        const auto pipeline = pipeline_of(handle);
        const auto shared = weights_of(weights);
        train::StepwiseModel::Options options;
        options.pipeline = pipeline->kind;
        const std::lock_guard device(pipeline->opened->mutex);
        const std::lock_guard lock(shared->mutex);
        pipeline->bound = std::make_unique<BoundModel>(pipeline->opened, shared, options);
        ++pipeline->passes;  // outputs of earlier weights are of no use for a gradient
    });
}

ane_tensor_t ane_create_tensor(ane_device_t handle, ane_shape_t shape, const void* data) {
    return guarded_or<ane_tensor_t>(nullptr, [&] {
        const auto device = device_of(handle);
        if (shape.count < 0 || shape.count > ANE_MAX_RANK || shape.dtype < ANE_FLOAT32 ||
            shape.dtype > ANE_INT32) {
            fail(Code::invalid_argument, here, "a shape has 0 to {} sizes and a dtype of {} to {}",
                 ANE_MAX_RANK, int{ANE_FLOAT32}, int{ANE_INT32});
        }
        const Shape sizes(std::vector<std::int64_t>(shape.sizes, shape.sizes + shape.count));
        const bool positive =
            std::all_of(sizes.begin(), sizes.end(), [](std::int64_t size) { return size > 0; });
        constexpr std::int64_t most = std::int64_t{1} << 40;
        if (!positive || sizes.elements() > most) {
            fail(Code::invalid_argument, here,
                 "shape {}: every size must be 1 or more, all elements 2^40 at most", sizes.text());
        }
        const auto count = static_cast<std::size_t>(sizes.elements());
        auto tensor = std::make_shared<Tensor>();
        tensor->device = device;
        tensor->values.shape = sizes;
        if (shape.dtype == ANE_INT32) {
            tensor->values.dtype = DType::int32;
            tensor->values.integers.resize(count);
            if (data != nullptr) {
                std::memcpy(tensor->values.integers.data(), data, count * sizeof(std::int32_t));
            }
        } else {
            tensor->values.floats.resize(count);
            if (data != nullptr && shape.dtype == ANE_FLOAT32) {
                std::memcpy(tensor->values.floats.data(), data, count * sizeof(float));
            } else if (data != nullptr) {
                const auto* halves = static_cast<const std::uint16_t*>(data);
                std::transform(halves, halves + count, tensor->values.floats.begin(),
                               [](std::uint16_t bits) { return to_float(fp16{bits}); });
            }
        }
        return device->add<ane_tensor_t>(tensor);
    });
}

void ane_destroy_tensor(ane_tensor_t tensor) {
    destroy_part(tensor);
}

ane_status_t ane_tensor_shape(ane_tensor_t handle, ane_shape_t* shape) {
    return guarded([&] {
        const auto tensor = tensor_of(handle);
        *given(shape, "shape") = shape_of(tensor->values.dtype, tensor->values.shape);
    });
}

ane_status_t ane_read_tensor(ane_tensor_t handle, float* values, size_t count) {
    return guarded([&] {
        const auto tensor = tensor_of(handle);
        if (tensor->values.dtype == DType::int32) {
            fail(Code::surface_mismatch, here, "the tensor holds int32, not numbers of fp32");
        }
        copy_out(tensor->values.floats, values, count);
    });
}

ane_tensor_t ane_forward(ane_pipeline_t handle, ane_tensor_t input) {
    return guarded_or<ane_tensor_t>(nullptr, [&] {
        const auto x = tensor_of(input);
        Locked locked(handle);
        auto output = std::make_shared<Tensor>();
        output->values = locked.model().forward(x->values);
        ++locked.pipeline()->passes;
        return add_result(locked.pipeline(), output);
    });
}

ane_tensor_t ane_backward(ane_pipeline_t handle, ane_tensor_t output, ane_tensor_t target) {
    return guarded_or<ane_tensor_t>(nullptr, [&] {
        const auto y = tensor_of(output);
        const auto t = tensor_of(target);
        Locked locked(handle);
        if (y->pipeline.lock() != locked.pipeline() || y->pass != locked.pipeline()->passes ||
            y->gradients) {
            fail(Code::invalid_argument, here,
                 "output is not the result of the pipeline's last ane_forward()");
        }
        auto grad = std::make_shared<Tensor>();
        grad->gradients = std::make_unique<train::Gradients>(locked.model().backward(t->values));
        // One tensor after another, without the gaps that the set has between them.
        const auto& set = grad->gradients->values;
        for (std::size_t i = 0; i < set.size(); ++i) {
            const auto values = set.values(i);
            grad->values.floats.insert(grad->values.floats.end(), values.begin(), values.end());
        }
        grad->values.shape = Shape{static_cast<std::int64_t>(grad->values.floats.size())};
        return add_result(locked.pipeline(), grad);
    });
}

ane_status_t ane_tensor_loss(ane_tensor_t handle, double* loss) {
    return guarded([&] {
        const auto tensor = tensor_of(handle);
        if (!tensor->gradients) {
            fail(Code::invalid_argument, here, "the tensor is not a result of ane_backward()");
        }
        *given(loss, "loss") = tensor->gradients->loss;
    });
}

ane_status_t ane_set_optimizer(ane_pipeline_t handle, ane_optimizer_t optimizer) {
    return guarded([&] {
        const auto pipeline = pipeline_of(handle);
        if (optimizer != ANE_SGD && optimizer != ANE_ADAMW) {
            fail(Code::invalid_argument, here, "optimizer {} is not ANE_SGD or ANE_ADAMW",
                 optimizer);
        }
        const std::lock_guard lock(pipeline->opened->mutex);
        pipeline->rule.adamw = optimizer == ANE_ADAMW;
        if (pipeline->bound) {
            pipeline->bound->optimizer.clear();
        }
    });
}

ane_status_t ane_update_weights(ane_pipeline_t handle, ane_tensor_t grad, double learning_rate) {
    return guarded([&] {
        const auto gradients = tensor_of(grad);
        Locked locked(handle);
        if (!gradients->gradients || gradients->pipeline.lock() != locked.pipeline()) {
            fail(Code::invalid_argument, here,
                 "grad is not a result of this pipeline's ane_backward()");
        }
        train::UpdateRule rule = locked.pipeline()->rule;
        rule.learning_rate = learning_rate;
        locked.bound().optimizer.update(rule, gradients->gradients->values,
                                        *locked.bound().weights->model,
                                        locked.bound().opened->pool);
    });
}
