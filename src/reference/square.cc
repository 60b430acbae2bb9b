#include "reference/scalar.h"

namespace pome::reference {

double square(double x) {
    return x * x;
}

}  // namespace pome::reference
