#include <algorithm>
#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double softplus(double x) {
    return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
}

}  // namespace pome::reference
