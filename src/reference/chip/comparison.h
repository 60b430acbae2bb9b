#pragma once

#include <cstdint>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

enum class Comparison : std::uint8_t { equal, not_equal, greater, greater_equal, less, less_equal };

/// 1 or 0, which is how bools live on the engine. NaN behaves as +inf where it is coerced.
/// Source: guide, appendix A, and chapter 3 for NaN (M1).
fp16 compare(Comparison comparison, fp16 x, fp16 y, const Numerics::Elementwise& rules);
/// 1 for 0, else 0.
fp16 logical_not(fp16 x);

}  // namespace pome::reference::chip
