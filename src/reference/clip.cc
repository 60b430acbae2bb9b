#include <algorithm>

#include "reference/scalar.h"

namespace pome::reference {

double clip(double x, double alpha, double beta) {
    return std::min(std::max(x, alpha), beta);
}

}  // namespace pome::reference
