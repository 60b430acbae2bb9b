#include <cmath>
#include <numbers>

#include "reference/scalar.h"

namespace pome::reference {

double gelu(double x) {
    return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
}

}  // namespace pome::reference
