#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double exp2(double x) {
    return std::exp2(x);
}

}  // namespace pome::reference
