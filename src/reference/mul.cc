#include "reference/scalar.h"

namespace pome::reference {

double mul(double x, double y) {
    return x * y;
}

}  // namespace pome::reference
