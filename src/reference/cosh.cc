#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double cosh(double x) {
    return std::cosh(x);
}

}  // namespace pome::reference
