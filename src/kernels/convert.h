#pragma once

#include <cstdint>

#include "base/fp16.h"

namespace pome::kernels {

/// to[i] = from[i] for i < count, exact; which NaN comes of which is not promised. No overlap.
void to_float(const fp16* from, float* to, std::int64_t count);
/// to[i] = to_fp16(from[i], rounding) of base/fp16.h for i < count, in every bit, NaN included. No
/// overlap.
void to_fp16(const float* from, fp16* to, std::int64_t count, Rounding rounding);

}  // namespace pome::kernels
