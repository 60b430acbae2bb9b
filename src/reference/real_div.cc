#include "reference/scalar.h"

namespace pome::reference {

double real_div(double x, double y) {
    return x / y;
}

}  // namespace pome::reference
