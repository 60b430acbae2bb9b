#include "reference/scalar.h"

namespace pome::reference {

double linear_activation(double x, double alpha, double beta) {
    return alpha * x + beta;
}

}  // namespace pome::reference
