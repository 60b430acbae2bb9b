#pragma once

#include "device/legalize/boundary.h"

namespace pome::device::legalizing {

/// The change whose part is the input or output `value` of the function as it is now; made, with
/// that one part, when the value has not changed so far.
BoundaryChange& change_of(Boundary& boundary, bool is_input, const mil::NamedType& value);
/// The part itself.
BoundaryPart& part_of(Boundary& boundary, bool is_input, const mil::NamedType& value);

}  // namespace pome::device::legalizing
