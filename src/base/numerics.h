#pragma once

#include <cstdint>

#include "base/fp16.h"

namespace pome {

/// How one chip's engine computes: plain data, filled from a profile (profiles/*.toml, which names
/// the source of every value). The defaults are the M4's. Each rule can be switched to its IEEE
/// counterpart, so that the cost of a rule can be measured.
struct Numerics {
    /// conv, matmul, linear: the fixed-point multiply-accumulate path.
    struct MultiplyAccumulate {
        bool fixed_point =
            true;  ///< false: products exact, summed in fp32 (k ascending), rounded once
        int fraction_bits = 16;  ///< products are rounded to multiples of 2^-fraction_bits ...
        Rounding product = Rounding::nearest_away;
        bool drop = true;  ///< ... after those with e(x) + e(w) <= drop_exponent were dropped
        int drop_exponent = -17;  ///< e: unbiased exponent, subnormals count as -14
        int limit_exponent =
            15;  ///< |sum| >= 2^limit_exponent at any moment (k ascending): infinity, sticky
        bool sticky = true;  ///< false: only the final sum is tested
        Rounding output = Rounding::nearest_away;
        friend bool operator==(const MultiplyAccumulate&, const MultiplyAccumulate&) = default;
    };
    /// add, sub, mul, division, maximum, ...: computed exactly, rounded once to fp16.
    struct Elementwise {
        Rounding output = Rounding::nearest_away;
        bool coerce_nan =
            true;  ///< NaN inputs act as +inf; indeterminate forms give +0; -0 results are +0
        friend bool operator==(const Elementwise&, const Elementwise&) = default;
    };
    /// sigmoid, tanh, exp, ...: piecewise linear tables of 33 knots.
    struct Tables {
        bool enabled = true;  ///< false: the exact function rounded once
        friend bool operator==(const Tables&, const Tables&) = default;
    };
    /// reduce_sum, reduce_mean and the sums inside norms.
    struct Reduction {
        bool narrow = true;  ///< tiles added at `tile_fraction_bits`; false: exact sum rounded once
        int tile = 4;
        int tile_fraction_bits = 11;
        Rounding output = Rounding::nearest_away;
        friend bool operator==(const Reduction&, const Reduction&) = default;
    };
    /// softmax: hardware maximum, exp by table, sum, reciprocal, product.
    struct Softmax {
        bool narrow = true;  ///< fp16 after each of these stages; false: exact, rounded once
        friend bool operator==(const Softmax&, const Softmax&) = default;
    };

    /// Convolutions that are not plain sums of products.
    struct Convolution {
        bool winograd_width =
            false;  ///< F(2,3) along the width with fp16 transforms; false: direct
        /// A 1 x 1 convolution of one input channel is an elementwise product: not limited to 2^15.
        bool single_channel_bypass = true;
        friend bool operator==(const Convolution&, const Convolution&) = default;
    };
    /// slice_by_size, slice_by_index, crop.
    struct Slice {
        /// A width begin other than 0 goes through a move that multiplies by 16: beyond 4094 in
        /// magnitude infinity.
        bool width_gain = false;
        friend bool operator==(const Slice&, const Slice&) = default;
    };

    MultiplyAccumulate multiply_accumulate;
    Convolution convolution;
    Slice slice;
    Elementwise elementwise;
    Tables tables;
    Reduction reduction;
    Softmax softmax;
    friend bool operator==(const Numerics&, const Numerics&) = default;
};

}  // namespace pome
