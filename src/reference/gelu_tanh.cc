#include <cmath>
#include <numbers>

#include "reference/scalar.h"

namespace pome::reference {

double gelu_tanh(double x) {
    return 0.5 * x *
           (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

}  // namespace pome::reference
