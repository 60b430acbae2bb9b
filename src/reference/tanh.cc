#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double tanh(double x) {
    return std::tanh(x);
}

}  // namespace pome::reference
