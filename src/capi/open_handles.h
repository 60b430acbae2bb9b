#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/thread_pool.h"
#include "capi/guard.h"
#include "device/open/open_device.h"
#include "train/stepwise_model.h"

namespace pome::capi {

/// A device and what its calls share. Everything that is made with it holds it.
struct OpenedDevice {
    OpenedDevice(device::DeviceRequest wanted, int threads)
        : request(std::move(wanted)), pool(threads), device(open()), name(device->name()) {}

    /// Another one, as a new process would find it.
    std::unique_ptr<device::Device> open() { return device::open_device(request, pool); }
    /// Whether programs with weights as inputs run here. Call with `mutex` held.
    bool runtime_weights();

    std::mutex mutex;  ///< held by every call that uses the device or its pool
    device::DeviceRequest request;
    ThreadPool pool;
    std::unique_ptr<device::Device> device;
    std::string name;
    std::optional<bool> probed;
};

/// The device that POME_DEVICE names, or "emulator:m4".
std::string default_device();

/// A caller's handle to a device.
struct DeviceHandle : Object {
    std::shared_ptr<OpenedDevice> opened;
};

/// A copy of a struct that the caller's program, which may be older or newer, filled: fields that
/// it does not have are zero. `what` is the struct's name.
template <typename T>
T options_of(const T* from, std::string_view what) {
    T made{};
    made.size = sizeof(T);
    if (from == nullptr) {
        return made;
    }
    constexpr std::size_t most = 4096;
    if (from->size < sizeof(std::size_t) || from->size > most) {
        fail(Code::invalid_argument, "capi", "{}.size is {}: set it to sizeof({})", what,
             from->size, what);
    }
    std::memcpy(&made, from, from->size < sizeof(T) ? from->size : sizeof(T));
    return made;
}

pome_tensor_type type_of(DType dtype, const Shape& shape);

}  // namespace pome::capi
