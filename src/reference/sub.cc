#include "reference/scalar.h"

namespace pome::reference {

double sub(double x, double y) {
    return x - y;
}

}  // namespace pome::reference
