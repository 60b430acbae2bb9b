#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double acos(double x) {
    return std::acos(x);
}

}  // namespace pome::reference
