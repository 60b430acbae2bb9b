#include "reference/scalar.h"

namespace pome::reference {

double thresholded_relu(double x, double alpha) {
    return x >= alpha ? x : 0.0;
}

}  // namespace pome::reference
