#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double round(double x) {
    return std::round(x);
}

}  // namespace pome::reference
