#include "reference/scalar.h"

namespace pome::reference {

double gelu_sigmoid(double x) {
    return x * sigmoid(1.702 * x);
}

}  // namespace pome::reference
