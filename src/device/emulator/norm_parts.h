#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "device/emulator/chain.h"

namespace pome::device::emulator {

class Step;

/// The rows that a group's steps work on.
struct Extent {
    std::int64_t rows = 0, count = 0;

    std::int64_t elements() const { return rows * count; }
    /// Whether an operand of a result of all elements has one element a row.
    bool is_one_a_row(const Access& access) const {
        return access.group == count && access.count == rows && count > 1;
    }
};

/// What a step of a row group is to a norm's rows (kernels/wide_rows.h). Steps keep their order,
/// but that a difference is made where the sum of its squares is.
struct NormRole {
    enum class Kind : std::uint8_t {
        none,
        sum,                       ///< of the rows' elements; the rows are kept
        sum_squares,               ///< of the elements' squares; the rows are kept
        absorbed,                  ///< a difference, which the next role takes with it
        subtract_and_sum_squares,  ///< what is left of the rows is kept instead
        multiply                   ///< of what is kept with one factor a row
    };
    Kind kind = Kind::none;
    int norm = -1;  ///< which one
    int x = -1;     ///< slot: the rows; of differences what is taken off, of products the factors
    bool is_mean = false;  ///< of the sums
};

/// The roles of a group's steps in layer norms (sum, difference, sum of its squares, product) and
/// RMS norms (sum of squares, product), whatever is computed from the sums: one role a step.
std::vector<NormRole> find_norms(const std::vector<const Step*>& steps, const Extent& extent,
                                 const std::function<bool(int slot)>& stays_inside);

}  // namespace pome::device::emulator
