#pragma once

#include "reference/normalize.h"

namespace pome::reference {

/// A scale or zero point as it broadcasts to x: one element, or one for each index along `axis`.
inline Tensor along_axis(const Tensor& parameter, const Tensor& x, int axis) {
    return parameter.size() == 1 ? Tensor(Shape{}, parameter.data)
                                 : at_axes(parameter, {axis}, x.shape.rank());
}

}  // namespace pome::reference
