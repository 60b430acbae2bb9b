#include "reference/scalar.h"

namespace pome::reference {

double silu(double x) {
    return x * sigmoid(x);
}

}  // namespace pome::reference
