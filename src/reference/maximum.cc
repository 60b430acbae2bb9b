#include <algorithm>

#include "reference/scalar.h"

namespace pome::reference {

double maximum(double x, double y) {
    return std::max(x, y);
}

}  // namespace pome::reference
