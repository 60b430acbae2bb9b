#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double floor_div(double x, double y) {
    return std::floor(x / y);
}

}  // namespace pome::reference
