#pragma once

#include <array>

#include "base/fp16.h"

namespace pome::reference::chip {

/// F(2,3) along the width, as the M5 and M6 compute 3 x 3 convolutions of stride 1: each kernel row
/// of three weights g becomes four, each four input columns d become four, both rounded to fp16
/// with ties away; then, with m[i] the products of the transformed, two outputs are
///     y0 = m0 + m1 + m2,  y1 = m1 - m2 - m3
/// summed over input channels and kernel rows in the engine's fixed-point accumulator. Source:
/// recomputed convolution errors published for M5 and M6 (13 digits); two-dimensional forms,
/// transforms along the height, unrounded or ties-to-even transforms miss them.
std::array<fp16, 4> winograd_weights(const std::array<fp16, 3>& g);
std::array<fp16, 4> winograd_inputs(const std::array<fp16, 4>& d);

}  // namespace pome::reference::chip
