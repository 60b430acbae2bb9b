#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double erf(double x) {
    return std::erf(x);
}

}  // namespace pome::reference
