#include <algorithm>

#include "reference/scalar.h"

namespace pome::reference {

double minimum(double x, double y) {
    return std::min(x, y);
}

}  // namespace pome::reference
