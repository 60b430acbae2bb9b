#include "device/surface.h"

#include <cstring>
#include <new>

namespace pome::device {

void Surface::Release::operator()(std::byte* memory) const {
    ::operator delete[](memory, std::align_val_t{alignment});
}

Surface::Surface(mil::Type type) : type_(std::move(type)) {
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
    const std::size_t room = (bytes_ + alignment - 1) / alignment * alignment;
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
