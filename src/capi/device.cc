#include <cstdlib>

#include "capi/open_handles.h"
#include "train/selection.h"

namespace pome::capi {

bool OpenedDevice::runtime_weights() {
    if (!probed) {
        probed = train::choose_pipeline("auto", *device).pipeline == "dynamic";
    }
    return *probed;
}

std::string default_device() {
    const char* named = std::getenv("POME_DEVICE");
    return named == nullptr || *named == '\0' ? "emulator:m4" : named;
}

pome_tensor_type type_of(DType dtype, const Shape& shape) {
    pome_tensor_type type{};
    type.dtype = dtype == DType::fp16    ? POME_FLOAT16
                 : dtype == DType::fp32  ? POME_FLOAT32
                 : dtype == DType::int32 ? POME_INT32
                                         : POME_OTHER;
    if (shape.rank() > POME_MAX_RANK) {
        fail(Code::unsupported, "capi", "{} has more than {} axes", shape.text(), POME_MAX_RANK);
    }
    type.rank = shape.rank();
    for (int i = 0; i < shape.rank(); ++i) {
        type.sizes[i] = shape[i];
    }
    return type;
}

}  // namespace pome::capi

using namespace pome;
using namespace pome::capi;

pome_status pome_device_open(const char* name, const pome_device_options* options,
                             pome_device** device) {
    return guarded([&] {
        given(device, "device");
        const pome_device_options wanted = options_of(options, "pome_device_options");
        constexpr int most_threads = 4096;
        if (wanted.threads < 0 || wanted.threads > most_threads) {
            fail(Code::invalid_argument, "capi.device", "threads is {}, not from 0 to {}",
                 wanted.threads, most_threads);
        }
        device::DeviceRequest request;
        request.device = name == nullptr || *name == '\0' ? default_device() : name;
        request.numerics = wanted.numerics == nullptr ? "exact" : wanted.numerics;
        request.strictness = wanted.strictness == nullptr ? "strict" : wanted.strictness;
        auto handle = std::make_shared<DeviceHandle>();
        handle->opened = std::make_shared<OpenedDevice>(std::move(request), wanted.threads);
        *device = static_cast<pome_device*>(Handles::all().add(std::move(handle)));
    });
}

void pome_device_close(pome_device* device) {
    guarded([&] { Handles::all().remove(device); });
}

namespace {

std::shared_ptr<OpenedDevice> opened(pome_device* device) {
    return Handles::all().find<DeviceHandle>(device, "pome_device")->opened;
}

}  // namespace

pome_status pome_device_name(pome_device* device, const char** name) {
    return guarded([&] {
        const auto found = opened(device);
        *given(name, "name") = found->name.c_str();
    });
}

pome_status pome_device_compiles(pome_device* device, int64_t* compiles, int64_t* limit) {
    return guarded([&] {
        const auto found = opened(device);
        *given(compiles, "compiles") = found->device->compiles();
        *given(limit, "limit") = found->device->profile().limits.compile_budget;
    });
}

pome_status pome_device_runtime_weights(pome_device* device, int32_t* supported) {
    return guarded([&] {
        const auto found = opened(device);
        given(supported, "supported");
        const std::lock_guard lock(found->mutex);
        *supported = found->runtime_weights() ? 1 : 0;
    });
}

namespace {

const std::vector<std::string>& chips() {
    static const std::vector<std::string> names = device::known_chips();
    return names;
}

}  // namespace

size_t pome_device_chip_count(void) {
    return guarded_or<size_t>(0, [] { return chips().size(); });
}

const char* pome_device_chip(size_t index) {
    return guarded_or<const char*>(nullptr, [&] {
        if (index >= chips().size()) {
            fail(Code::invalid_argument, "capi.device", "there are {} chips, not {}",
                 chips().size(), index + 1);
        }
        return chips()[index].c_str();
    });
}
