#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/fp16.h"
#include "base/large_memory.h"
#include "mil/type.h"

namespace pome::device {

/// Memory of a device's own kind, to which a surface's elements move when the device first
/// evaluates with the surface. The device takes it back, in its own way, for the time of an
/// evaluation. THREADS: safe.
class DeviceMemory {
  public:
    enum class Access : std::uint8_t { read, write };

    DeviceMemory() = default;
    virtual ~DeviceMemory() = default;
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;

    virtual std::size_t size() const = 0;
    /// The memory, opened for the host until the device takes it back. Its address never changes.
    /// Throws Error{io} when the system does not open it.
    virtual std::byte* host(Access access) = 0;
};

/// Memory that a program reads or writes: named by its binding, typed, dense and row-major. For the
/// usual [1, C, 1, S], element (c, s) lies at index c * S + s. Zeroed when made. Owns its memory;
/// moves, never copies.
///
/// A surface begins in the host's memory. A device that reads memory of its own kind only moves it
/// there: pointers and spans hold until the next evaluation that the surface is bound to; ask again
/// afterwards.
class Surface {
  public:
    /// Start address alignment in bytes; the size is rounded up to it (the engine wants rows of 64,
    /// M5 128).
    static constexpr std::size_t alignment = 128;

    Surface() = default;
    /// Throws Error{invalid_argument} for types that are not static tensors of numbers.
    explicit Surface(mil::Type type);
    /// The same in an allocation of exactly so many bytes, which must hold the elements; the
    /// engine's rules about the sizes of surfaces look at it. A surface without one of its own gets
    /// what those rules ask for.
    Surface(mil::Type type, std::size_t allocation);

    const mil::Type& type() const { return type_; }
    std::int64_t elements() const { return elements_; }
    /// Bytes that the elements take.
    std::size_t bytes_needed() const { return bytes_; }
    /// In bytes; 0: whatever the device asks for.
    std::size_t allocation() const { return allocation_; }
    std::span<std::byte> bytes() { return {writable(), bytes_}; }
    std::span<const std::byte> bytes() const { return {readable(), bytes_}; }

    /// Where the elements lie when they do not lie in the host's memory.
    std::shared_ptr<DeviceMemory> device_memory() const;
    /// Moves the elements; the surface's value stays. Throws Error{surface_mismatch} when they do
    /// not fit. No other thread may write the surface meanwhile, nor read what lies in the host's
    /// memory still.
    void move_to(std::shared_ptr<DeviceMemory> memory) const;

    /// The elements of an fp16 surface. Throws Error{surface_mismatch} for another dtype.
    fp16* halves() { return (check(DType::fp16), reinterpret_cast<fp16*>(writable())); }
    const fp16* halves() const {
        return (check(DType::fp16), reinterpret_cast<const fp16*>(readable()));
    }
    /// The elements of an fp32 surface.
    float* floats() { return (check(DType::fp32), reinterpret_cast<float*>(writable())); }
    const float* floats() const {
        return (check(DType::fp32), reinterpret_cast<const float*>(readable()));
    }

  private:
    struct Place {
        std::mutex mutex;
        LargeVector<std::byte> host;
        std::shared_ptr<DeviceMemory> device;
        // Whoever read when the elements moved on reads on.
        std::vector<std::shared_ptr<DeviceMemory>> former;
    };
    std::byte* writable();
    const std::byte* readable() const;
    void check(DType dtype) const;

    mil::Type type_;
    std::int64_t elements_ = 0;
    std::size_t bytes_ = 0;
    std::size_t allocation_ = 0;
    std::unique_ptr<Place> place_;
};

}  // namespace pome::device
