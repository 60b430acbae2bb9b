#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double mod(double x, double y) {
    return x - y * std::floor(x / y);
}

}  // namespace pome::reference
