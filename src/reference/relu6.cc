#include <algorithm>

#include "reference/scalar.h"

namespace pome::reference {

double relu6(double x) {
    return std::clamp(x, 0.0, 6.0);
}

}  // namespace pome::reference
