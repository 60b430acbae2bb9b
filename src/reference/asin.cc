#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double asin(double x) {
    return std::asin(x);
}

}  // namespace pome::reference
