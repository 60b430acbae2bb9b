#pragma once

#include "mil/program.h"

namespace pome::mil::passes {

/// The same function with its inputs and outputs declared in the order of their names, in which the
/// engine's runtime binds surfaces. Whoever binds by name sees no difference.
Function declare_in_order(Function function);

}  // namespace pome::mil::passes
