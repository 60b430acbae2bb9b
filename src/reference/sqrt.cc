#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double sqrt(double x) {
    return std::sqrt(x);
}

}  // namespace pome::reference
