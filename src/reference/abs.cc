#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double abs(double x) {
    return std::fabs(x);
}

}  // namespace pome::reference
