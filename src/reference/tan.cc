#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double tan(double x) {
    return std::tan(x);
}

}  // namespace pome::reference
