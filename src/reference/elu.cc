#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double elu(double x, double alpha) {
    return x < 0.0 ? alpha * std::expm1(x) : x;
}

}  // namespace pome::reference
