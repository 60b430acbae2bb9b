#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double exp(double x) {
    return std::exp(x);
}

}  // namespace pome::reference
