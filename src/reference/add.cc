#include "reference/scalar.h"

namespace pome::reference {

double add(double x, double y) {
    return x + y;
}

}  // namespace pome::reference
