#include "reference/scalar.h"

namespace pome::reference {

double leaky_relu(double x, double alpha) {
    return x < 0.0 ? alpha * x : x;
}

}  // namespace pome::reference
