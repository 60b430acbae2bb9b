#include <algorithm>

#include "reference/scalar.h"

namespace pome::reference {

double clamped_relu(double x, double alpha, double beta) {
    return std::min(x < 0.0 ? alpha * x : x, beta);
}

}  // namespace pome::reference
