#pragma once

#include <cstdint>
#include <vector>

#include "base/shape.h"

namespace pome::reference {

/// Dense row-major values in double precision; integers and bools are held as doubles too.
struct Tensor {
    Shape shape;
    std::vector<double> data;

    Tensor() = default;
    explicit Tensor(Shape s, double fill = 0.0)
        : shape(std::move(s)), data(static_cast<std::size_t>(shape.elements()), fill) {}
    Tensor(Shape s, std::vector<double> values) : shape(std::move(s)), data(std::move(values)) {}

    std::int64_t size() const { return static_cast<std::int64_t>(data.size()); }
};

}  // namespace pome::reference
