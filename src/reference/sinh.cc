#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double sinh(double x) {
    return std::sinh(x);
}

}  // namespace pome::reference
