#include <algorithm>

#include "reference/scalar.h"

namespace pome::reference {

double sigmoid_hard(double x, double alpha, double beta) {
    return std::min(std::max(alpha * x + beta, 0.0), 1.0);
}

}  // namespace pome::reference
