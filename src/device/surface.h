#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/fp16.h"
#include "mil/type.h"

namespace pome::device {

/// Memory that a program reads or writes: named by its binding, typed, dense and row-major. For the
/// usual [1, C, 1, S], element (c, s) lies at index c * S + s. Zeroed when made. Owns its memory;
/// moves, never copies.
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
    /// In bytes; 0: whatever the device asks for.
    std::size_t allocation() const { return allocation_; }
    std::span<std::byte> bytes() { return {memory_.get(), bytes_}; }
    std::span<const std::byte> bytes() const { return {memory_.get(), bytes_}; }

    /// The elements of an fp16 surface. Throws Error{surface_mismatch} for another dtype.
    fp16* halves() { return static_cast<fp16*>(checked(DType::fp16)); }
    const fp16* halves() const { return static_cast<const fp16*>(checked(DType::fp16)); }
    /// The elements of an fp32 surface.
    float* floats() { return static_cast<float*>(checked(DType::fp32)); }
    const float* floats() const { return static_cast<const float*>(checked(DType::fp32)); }

  private:
    struct Release {
        void operator()(std::byte* memory) const;
    };
    void* checked(DType dtype) const;

    mil::Type type_;
    std::int64_t elements_ = 0;
    std::size_t bytes_ = 0;
    std::size_t allocation_ = 0;
    std::unique_ptr<std::byte[], Release> memory_;
};

}  // namespace pome::device
