#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double atan(double x) {
    return std::atan(x);
}

}  // namespace pome::reference
