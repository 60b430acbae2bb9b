#include "reference/scalar.h"

namespace pome::reference {

double logical_not(double x) {
    return x == 0.0 ? 1.0 : 0.0;
}

}  // namespace pome::reference
