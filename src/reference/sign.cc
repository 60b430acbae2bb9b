#include "reference/scalar.h"

namespace pome::reference {

double sign(double x) {
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0;
}

}  // namespace pome::reference
