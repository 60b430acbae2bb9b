#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/random.h"

namespace pome::test {

/// So many normally distributed numbers.
inline std::vector<float> normal_floats(std::int64_t count, Random& random) {
    std::vector<float> values(static_cast<std::size_t>(count));
    std::generate(values.begin(), values.end(),
                  [&random] { return static_cast<float>(random.normal()); });
    return values;
}

}  // namespace pome::test
