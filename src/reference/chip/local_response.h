#pragma once

#include <cstdint>
#include <span>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

/// One element of local_response_norm: squares to fp16, their sum by the reduction path over the
/// `channels` neighbours, times alpha / size (fp16), plus k, to the power -beta, times x; fp16
/// after each. Source: spec.md 2.3.2 names the path (LUT) and that alpha is divided by size; the
/// stages are assumed. ANEForge's sweep of an M5 shows 1.4e-4.
fp16 local_response(fp16 x, std::span<const fp16> channels, std::int64_t size, double alpha,
                    double beta, double k, const Numerics& numerics);

}  // namespace pome::reference::chip
