#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double scaled_tanh(double x, double alpha, double beta) {
    return alpha * std::tanh(beta * x);
}

}  // namespace pome::reference
