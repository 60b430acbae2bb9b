#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "device/apple/objc_runtime.h"
#include "device/surface.h"

namespace pome::device::apple {

/// An IOSurface: one row of bytes, dense. It is locked as long as the host may look at it, from
/// host() to release_to_engine(). Not copied, not moved.
class IoSurfaceMemory final : public DeviceMemory {
  public:
    /// `deaths` counts the surfaces that are gone. Throws Error{io} when the system gives none.
    IoSurfaceMemory(std::shared_ptr<const Runtime> runtime, std::size_t bytes,
                    std::shared_ptr<std::atomic<std::uint64_t>> deaths);
    ~IoSurfaceMemory() override;

    std::size_t size() const override { return bytes_; }
    std::byte* host(Access access) override;
    /// Ends the host's access; pointers that host() gave may not be used for writing any more.
    void release_to_engine();
    bool is_of(const Runtime& runtime) const { return runtime_.get() == &runtime; }
    /// The _ANEIOSurfaceObject around it, for requests.
    Id object() const { return object_.get(); }

  private:
    void lock(Access access);
    void unlock(Access access);

    std::shared_ptr<const Runtime> runtime_;
    std::size_t bytes_;
    std::shared_ptr<std::atomic<std::uint64_t>> deaths_;
    IoSurfaceRef surface_ = nullptr;
    std::byte* base_ = nullptr;
    Reference object_;
    std::mutex mutex_;
    bool reading_ = false, writing_ = false;  ///< locked so
};

}  // namespace pome::device::apple
