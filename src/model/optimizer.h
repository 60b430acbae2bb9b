#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mil/builder.h"

namespace pome::model {

/// Which parts of a resident optimizer's state are the sum of two surfaces. A weight that moves by
/// less than half of its last bit does not move at all in fp16; two surfaces have about 22 bits.
struct StateForm {
    bool weights = true;        ///< w + w_lo / 2^11
    bool second_moment = true;  ///< v + v_lo / second_low_scale
    friend bool operator==(const StateForm&, const StateForm&) = default;
};

/// w_lo is kept multiplied by this: it is at most half of the last bit of w, and unscaled it would
/// be a subnormal number of a few bits.
constexpr double weight_low_scale = 2048.0;

/// The numbers of one update of one tensor, in the order in which the input "scalars" has them. The
/// moments are kept in units of their own: true gradients times a power of two, `unit`, which keeps
/// their squares in fp16's range.
struct UpdateScalars {
    double gradient_factor = 1.0;  ///< g of the program -> G in the moments' unit
    double first_share = 0.1;      ///< 1 - beta1
    double second_share = 0.05;    ///< 1 - beta2
    double epsilon = 1e-8;         ///< times unit, and the root of v's bias correction
    double rate = 1e-3;    ///< learning rate with the bias corrections; * 2^11 when weights are two
    double decay = 0.0;    ///< learning rate * weight decay; * 2^11 when weights are two
    double rescale = 1.0;  ///< new unit / old unit
    double square_rescale = 1.0;  ///< its square
    /// What v_lo is multiplied by: a power of two, 1 when v is one surface. second_share is applied
    /// together with it, so that a small change of v is no subnormal number.
    double second_low_scale = 1.0;
    std::vector<double> values() const {
        return {gradient_factor,
                first_share,
                second_share * second_low_scale,
                epsilon,
                rate,
                decay,
                rescale,
                square_rescale,
                second_low_scale,
                1.0 / second_low_scale};
    }
};
constexpr std::int64_t update_scalar_count = 10;

/// Single numbers are rows of this many equal elements: engines read and write rows of 64 bytes.
constexpr std::int64_t number_row = 32;

/// AdamW of n tensors [1, R, 1, C] in one program: for each i < n inputs w_i, m_i, v_i, g_i (and
/// w_lo_i, v_lo_i as the form says), then scalars [1, 10 n, 1, 32]; outputs new_w_i, new_m_i,
/// new_v_i (new_w_lo_i, new_v_lo_i):
///
///   G = gradient_factor g,  m' = m + first_share (G - m),  v' = v + second_share (G^2 - v)
///   w' = w - rate m' / (sqrt(v') + epsilon) - decay w
///
/// where m and v are first multiplied by rescale and its square. A sum of two surfaces is updated
/// as t = lo + change, hi' = hi + t, lo' = t - (hi' - hi): nothing of the change is lost but what
/// t's own rounding takes. Elementwise ops only: they have fp16's whole range.
mil::Function adamw_function(const std::vector<Shape>& shapes, DType dtype, const StateForm& form);

/// The sizes of g_i [1, R, 1, C], whatever their scales: output sizes [1, 2 n, 1, 32], for each i
/// peak = max |g| and mean_square = mean over rows of sum over columns of (g / peak)^2; |g|^2 =
/// peak^2 R mean_square. peak is infinite when an element is.
mil::Function gradient_size_function(const std::vector<Shape>& shapes, DType dtype);

/// Sums of the gradients of a batch: inputs sum_i, sum_lo_i, g_i, outputs new_sum_i, new_sum_lo_i.
mil::Function accumulate_function(const std::vector<Shape>& shapes, DType dtype);

}  // namespace pome::model
