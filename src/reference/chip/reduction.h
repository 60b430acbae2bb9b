#pragma once

#include <span>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

/// Sum in index order by the reduction path: tiles of `tile` elements, within which both addends
/// are aligned to the larger one's unit in the last place with `tile_fraction_bits` fraction bits,
/// the rest cut off; tiles are added exactly and the sum is rounded once. NaN counts as +inf, inf -
/// inf as 0. Not narrow: an exact sum. Source: the only structure out of 560 that yields the M1
/// probes of ane-guide ch. 3 (spec.md 3.4).
fp16 reduce_sum(std::span<const fp16> x, const Numerics::Reduction& rules);
/// The sum times 1/n in fp32, rounded once.
fp16 reduce_mean(std::span<const fp16> x, const Numerics::Reduction& rules);

/// Sum before the last rounding.
double tiled_sum(std::span<const fp16> x, const Numerics::Reduction& rules);

}  // namespace pome::reference::chip
