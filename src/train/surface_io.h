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

/// load(), and whether all of the elements are finite.
bool load_finite(const device::Surface& surface, float* values, ThreadPool& pool);

/// Whether all elements of an fp16 surface are finite.
bool is_finite(const device::Surface& surface, ThreadPool& pool);

/// Like store() and load() for a surface [1, rows, 1, columns] whose host values are its transpose,
/// [columns][rows]: logits are [V][S] on the engine and [S][V] on the host. Host rows are `stride`
/// elements apart, so that a surface may hold a part of the vocabulary.
void store_transposed(const float* values, std::int64_t stride, device::Surface& surface,
                      ThreadPool& pool);
void load_transposed(const device::Surface& surface, float* values, std::int64_t stride,
                     ThreadPool& pool);

/// Whether one of `count` values has no finite fp16.
bool leaves_fp16(const float* values, std::int64_t count);

/// Whether one of `count` values that came from fp16 is infinite or NaN.
bool has_infinity(const float* values, std::int64_t count);

}  // namespace pome::train
