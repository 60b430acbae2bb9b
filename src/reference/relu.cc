#include <algorithm>

#include "reference/scalar.h"

namespace pome::reference {

double relu(double x) {
    return std::max(x, 0.0);
}

}  // namespace pome::reference
