#pragma once

#include <cstdint>
#include <span>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

/// What happened to the products of one sum.
struct ProductCounters {
    std::int64_t dropped = 0;    ///< left out by the rule on exponents
    std::int64_t vanished = 0;   ///< not zero, rounded to zero
    std::int64_t saturated = 0;  ///< results that became infinite
};

/// An exponent-31 operand is an ordinary number on the multiply-accumulate path: infinity is 2^16,
/// 0x7FFF is 131008.
double decode(fp16 value);

/// One output of conv, matmul or linear: bias + sum_k x[k] w[k], by the engine's rules
/// (base/numerics.h). x and w have equal length. The scalar model that every kernel must equal bit
/// for bit. The bias is rounded like a product and is the first value of the sum; NaN counts as
/// +infinity there. rules.fraction_bits is in [0, 24], rules.limit_exponent in [0, 30]; sums that
/// are not sticky stop at +-2^62 units.
/// Source: the fixed-point rule replays a published M4 Max run digit for digit; k ascending is the
/// default reading where the order shows (sticky overflow), which nobody has measured.
fp16 multiply_accumulate(std::span<const fp16> x, std::span<const fp16> w, float bias,
                         const Numerics::MultiplyAccumulate& rules,
                         ProductCounters* counters = nullptr);

/// The sum before its last rounding, and whether it stayed below the limit; by fixed-point rules.
struct FixedPointSum {
    double sum = 0.0;
    bool finite = true;
};
FixedPointSum fixed_point_sum(std::span<const fp16> x, std::span<const fp16> w, float bias,
                              const Numerics::MultiplyAccumulate& rules,
                              ProductCounters* counters = nullptr);

}  // namespace pome::reference::chip
