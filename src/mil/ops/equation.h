#pragma once

#include <string>

#include "mil/schema.h"

namespace pome::mil::ops {

/// An einsum of two operands that is a batch of matrix products: "nchw,nwhu->nchu".
struct Equation {
    std::string x, y, result;  ///< the labels of the axes
    std::string batch;         ///< labels in x, y and the result
    std::string inner;         ///< in x and y only: summed over
    std::string rows;          ///< in x and the result
    std::string columns;       ///< in y and the result
};

/// The equation of an einsum, checked against its operands' shapes. Fails through `in` for labels
/// that are repeated in one operand, missing in the result, or of two sizes.
Equation equation_of(const Arguments& in);

}  // namespace pome::mil::ops
