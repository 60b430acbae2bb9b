#include "reference/scalar.h"

namespace pome::reference {

double greater(double x, double y) {
    return x > y ? 1.0 : 0.0;
}

}  // namespace pome::reference
