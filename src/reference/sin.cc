#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double sin(double x) {
    return std::sin(x);
}

}  // namespace pome::reference
