#include "reference/scalar.h"

namespace pome::reference {

double logical_and(double x, double y) {
    return x != 0.0 && y != 0.0 ? 1.0 : 0.0;
}

}  // namespace pome::reference
