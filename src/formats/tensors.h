#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/shape.h"

namespace pome::formats {

/// fp32 tensors by name, row-major.
struct NamedTensor {
    Shape shape;
    std::vector<float> values;
};
using NamedTensors = std::map<std::string, NamedTensor, std::less<>>;

}  // namespace pome::formats
