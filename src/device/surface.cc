#include "device/surface.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace pome::device {

void Surface::Release::operator()(std::byte* memory) const {
    ::operator delete[](memory, std::align_val_t{alignment});
}

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
    memory_.reset(static_cast<std::byte*>(
        ::operator new[](room == 0 ? alignment : room, std::align_val_t{alignment})));
    std::memset(memory_.get(), 0, room == 0 ? alignment : room);
}

void* Surface::checked(DType dtype) const {
    if (type_.dtype != dtype) {
        fail(Code::surface_mismatch, "device.surface", "the surface holds {}, not {}", type_.text(),
             name(dtype));
    }
    return memory_.get();
}

}  // namespace pome::device
