#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double ceil(double x) {
    return std::ceil(x);
}

}  // namespace pome::reference
