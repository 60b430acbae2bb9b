#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double atanh(double x) {
    return std::atanh(x);
}

}  // namespace pome::reference
