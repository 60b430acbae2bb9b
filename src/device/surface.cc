#include "device/surface.h"

#include <algorithm>
#include <cstring>

namespace pome::device {

Surface::Surface(mil::Type type) : Surface(std::move(type), 0) {}

Surface::Surface(mil::Type type, std::size_t allocation)
    : type_(std::move(type)), allocation_(allocation) {
    const std::size_t size = size_in_memory(type_.dtype);
    if (!type_.is_tensor() || size == 0 || !type_.shape.is_static()) {
        fail(Code::invalid_argument, "device.surface",
             "a surface holds a tensor of numbers of known shape, not {}", type_.text());
    }
    elements_ = type_.shape.elements();
    constexpr std::int64_t limit = std::int64_t{1} << 40;
    if (elements_ > limit) {
        fail(Code::invalid_argument, "device.surface", "{} has more than 2^40 elements",
             type_.text());
    }
    bytes_ = static_cast<std::size_t>(elements_) * size;
    if (allocation != 0 && allocation < bytes_) {
        fail(Code::invalid_argument, "device.surface",
             "{} has {} bytes, an allocation of {} does not hold them", type_.text(), bytes_,
             allocation);
    }
    const std::size_t room = (std::max(bytes_, allocation) + alignment - 1) / alignment * alignment;
    place_ = std::make_unique<Place>();
    place_->host.assign(std::max(room, alignment), std::byte{0});
}

std::shared_ptr<DeviceMemory> Surface::device_memory() const {
    if (!place_) {
        return nullptr;
    }
    const std::lock_guard lock(place_->mutex);
    return place_->device;
}

void Surface::move_to(std::shared_ptr<DeviceMemory> memory) const {
    if (!place_ || !memory || memory->size() < bytes_) {
        fail(Code::surface_mismatch, "device.surface",
             "{} has {} bytes, the device's memory for them {}", type_.text(), bytes_,
             memory ? memory->size() : 0);
    }
    const std::lock_guard lock(place_->mutex);
    const std::byte* from =
        place_->device ? place_->device->host(DeviceMemory::Access::read) : place_->host.data();
    std::memcpy(memory->host(DeviceMemory::Access::write), from, bytes_);
    if (place_->device) {
        place_->former.push_back(std::move(place_->device));
    }
    place_->device = std::move(memory);
    LargeVector<std::byte>().swap(place_->host);
}

std::byte* Surface::writable() {
    if (!place_) {
        return nullptr;
    }
    const std::lock_guard lock(place_->mutex);
    return place_->device ? place_->device->host(DeviceMemory::Access::write) : place_->host.data();
}

const std::byte* Surface::readable() const {
    if (!place_) {
        return nullptr;
    }
    const std::lock_guard lock(place_->mutex);
    return place_->device ? place_->device->host(DeviceMemory::Access::read) : place_->host.data();
}

void Surface::check(DType dtype) const {
    if (type_.dtype != dtype) {
        fail(Code::surface_mismatch, "device.surface", "the surface holds {}, not {}", type_.text(),
             name(dtype));
    }
}

}  // namespace pome::device
