#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double log(double x, double epsilon) {
    return std::log(x + epsilon);
}

}  // namespace pome::reference
