#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "device/surface.h"

namespace pome::train {

/// Fills a surface (fp16 or fp32) from its elements in fp32; fp16 rounds to nearest even.
void store(const float* values, device::Surface& surface, ThreadPool& pool);

/// Fills the start of a surface [1, >= rows, 1, >= columns] with a matrix of shape [rows, columns];
/// the rest keeps its zeros.
void store_matrix(const float* values, const Shape& shape, device::Surface& surface,
                  ThreadPool& pool);

/// The elements of a surface (fp16 or fp32) in fp32.
void load(const device::Surface& surface, float* values, ThreadPool& pool);

/// Whether one of `count` values that came from fp16 is infinite or NaN.
bool has_infinity(const float* values, std::int64_t count);

}  // namespace pome::train
