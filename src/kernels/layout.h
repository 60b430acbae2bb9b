#pragma once

#include <cstdint>
#include <vector>

#include "base/fp16.h"

namespace pome::kernels {

/// y's axis i is x's axis perm[i]; `sizes` are x's. Dense, row-major, no overlap.
void permute(const fp16* x, fp16* y, const std::vector<std::int64_t>& sizes,
             const std::vector<int>& perm);

}  // namespace pome::kernels
