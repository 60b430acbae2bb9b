#pragma once

#include <span>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

/// exp as softmax uses it: fp16(2^f by table) * 2^k for x * log2(e) = k + f.
fp16 softmax_exp(fp16 difference, const Numerics& numerics);

/// Softmax of one row: the maximum is subtracted (fp16), exp by table (fp16), the sum is taken in
/// fp16 (in fours one after another, the fours pairwise), then an fp16 reciprocal and an fp16
/// product. Not narrow: exact, rounded once. NaN counts as +inf. x and y may be the same. Source:
/// reproduces token 0 of a captured attention program of a real engine, and others partly (open).
void softmax(std::span<const fp16> x, std::span<fp16> y, const Numerics& numerics);

}  // namespace pome::reference::chip
