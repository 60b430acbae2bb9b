#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double rsqrt(double x, double epsilon) {
    return 1.0 / std::sqrt(x + epsilon);
}

}  // namespace pome::reference
