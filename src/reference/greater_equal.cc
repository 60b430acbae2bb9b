#include "reference/scalar.h"

namespace pome::reference {

double greater_equal(double x, double y) {
    return x >= y ? 1.0 : 0.0;
}

}  // namespace pome::reference
