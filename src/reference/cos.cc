#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double cos(double x) {
    return std::cos(x);
}

}  // namespace pome::reference
