#include "device/apple/io_surface.h"

#include "device/apple/foundation.h"

namespace pome::device::apple {
namespace {

constexpr std::string_view here = "device.apple";
constexpr std::uint32_t lock_read_only = 1;  // kIOSurfaceLockReadOnly

std::uint32_t options(DeviceMemory::Access access) {
    return access == DeviceMemory::Access::read ? lock_read_only : 0;
}

}  // namespace

IoSurfaceMemory::IoSurfaceMemory(std::shared_ptr<const Runtime> runtime, std::size_t bytes,
                                 std::shared_ptr<std::atomic<std::uint64_t>> deaths)
    : runtime_(std::move(runtime)), bytes_(bytes), deaths_(std::move(deaths)) {
    const Runtime& rt = *runtime_;
    const AutoreleasePool pool(rt);
    const Id size = make_number(rt, bytes), one = make_number(rt, 1);
    surface_ = rt.call(
        c_api::IOSurfaceCreate,
        make_dictionary(rt, {{rt.constant(c_api::kIOSurfaceWidth), size},
                             {rt.constant(c_api::kIOSurfaceHeight), one},
                             {rt.constant(c_api::kIOSurfaceBytesPerElement), one},
                             {rt.constant(c_api::kIOSurfaceBytesPerRow), size},
                             {rt.constant(c_api::kIOSurfaceAllocSize), size},
                             {rt.constant(c_api::kIOSurfacePixelFormat), make_number(rt, 0)}}));
    if (surface_ == nullptr) {
        fail(Code::io, here,
             "the system gives no IOSurface of {} bytes; is memory short, or are too many in use?",
             bytes);
    }
    base_ = static_cast<std::byte*>(rt.call(c_api::IOSurfaceGetBaseAddress, surface_));
    const std::uint64_t given = rt.call(c_api::IOSurfaceGetAllocSize, surface_);
    object_ = Reference(runtime_, rt.send_class(api::surface_object, surface_));
    if (base_ == nullptr || given < bytes || object_.get() == nullptr) {
        rt.call(c_api::CFRelease, surface_);
        fail(Code::io, here, "an IOSurface of {} bytes was asked for; the system gave {}", bytes,
             base_ == nullptr           ? "one without memory"
             : object_.get() == nullptr ? "none that +[_ANEIOSurfaceObject objectWithIOSurface:] "
                                          "takes"
                                        : fmt::format("{} bytes", given));
    }
}

IoSurfaceMemory::~IoSurfaceMemory() {
    try {
        release_to_engine();
    } catch (const Error&) {  // the surface goes anyway
    }
    object_.reset();
    runtime_->call(c_api::CFRelease, surface_);
    deaths_->fetch_add(1);
}

std::byte* IoSurfaceMemory::host(Access access) {
    const std::lock_guard guard(mutex_);
    if (!writing_ && (access == Access::write || !reading_)) {
        lock(access);
    }
    return base_;
}

void IoSurfaceMemory::release_to_engine() {
    const std::lock_guard guard(mutex_);
    if (writing_) {
        unlock(Access::write);
    }
    if (reading_) {
        unlock(Access::read);
    }
}

void IoSurfaceMemory::lock(Access access) {
    const std::int32_t status =
        runtime_->call(c_api::IOSurfaceLock, surface_, options(access), nullptr);
    if (status != 0) {
        fail(Code::io, here, "IOSurfaceLock of {} bytes fails with {:#x}", bytes_,
             static_cast<std::uint32_t>(status));
    }
    (access == Access::read ? reading_ : writing_) = true;
}

void IoSurfaceMemory::unlock(Access access) {
    (access == Access::read ? reading_ : writing_) = false;
    const std::int32_t status =
        runtime_->call(c_api::IOSurfaceUnlock, surface_, options(access), nullptr);
    if (status != 0) {
        fail(Code::io, here, "IOSurfaceUnlock of {} bytes fails with {:#x}", bytes_,
             static_cast<std::uint32_t>(status));
    }
}

}  // namespace pome::device::apple
