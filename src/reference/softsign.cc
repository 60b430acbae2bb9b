#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double softsign(double x) {
    return x / (1.0 + std::fabs(x));
}

}  // namespace pome::reference
