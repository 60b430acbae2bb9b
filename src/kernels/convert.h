#pragma once

#include <cstdint>

#include "base/fp16.h"

namespace pome::kernels {

/// to[i] = from[i], exact, for i < count. No overlap.
void to_float(const fp16* from, float* to, std::int64_t count);
/// to[i] = from[i] rounded: nearest_even or nearest_away (toward_zero is not offered). No overlap.
void to_fp16(const float* from, fp16* to, std::int64_t count, Rounding rounding);

}  // namespace pome::kernels
