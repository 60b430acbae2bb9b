#pragma once

#include "base/fp16.h"

namespace pome::reference::chip {

/// One element of a slice along the width that begins elsewhere than at 0, on chips whose move
/// multiplies by 16 and divides again (`Numerics::Slice::width_gain`): beyond 4094 in magnitude it
/// is infinite, else unchanged.
/// Source: ane-guide ch. 3, 19 (M1); ANEForge's bisection (M1, M1 Max, M2 Pro, M2 Max): 4094
/// passes, 4096 does not, which is fp16's own limit of 65504 / 16.
fp16 width_gain(fp16 x);

}  // namespace pome::reference::chip
