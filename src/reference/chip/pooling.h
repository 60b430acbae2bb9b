#pragma once

#include <cstdint>
#include <span>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

// One window of a pooling op: the elements of x in it, in row-major order.

/// The largest element; NaN counts as +inf, -0 comes out as +0 (spec.md 2.3.1: exact on an M5).
fp16 max_pool(std::span<const fp16> window, const Numerics& numerics);
/// The sum on the multiply-accumulate path, as products with 1, times 1 / `count` in fp32, rounded
/// once. `count` may be larger than the window: padding that counts as zeros.
/// Source: guide, appendix A, names the path; ANEForge's sweep of an M5 shows 2.1e-4, one rounding;
/// where the factor is applied is assumed, as for reduce_mean.
fp16 avg_pool(std::span<const fp16> window, std::int64_t count, const Numerics& numerics);
/// The square root, by table, of the window times itself on the multiply-accumulate path: assumed;
/// the catalogue knows of a table only.
fp16 l2_pool(std::span<const fp16> window, const Numerics& numerics);

}  // namespace pome::reference::chip
