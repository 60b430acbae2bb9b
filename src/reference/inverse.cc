#include "reference/scalar.h"

namespace pome::reference {

double inverse(double x, double epsilon) {
    return 1.0 / (x + epsilon);
}

}  // namespace pome::reference
