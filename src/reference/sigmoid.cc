#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double sigmoid(double x) {
    return 1.0 / (1.0 + std::exp(-x));
}

}  // namespace pome::reference
