#include <cmath>

#include "reference/scalar.h"

namespace pome::reference {

double pow(double x, double y) {
    return std::pow(x, y);
}

}  // namespace pome::reference
