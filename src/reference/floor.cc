#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double floor(double x) {
    return std::floor(x);
}

}  // namespace pome::reference
