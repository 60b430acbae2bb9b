#include "device/legalize/parts.h"

namespace pome::device::legalizing {

BoundaryChange& change_of(Boundary& boundary, bool is_input, const mil::NamedType& value) {
    for (auto& change : boundary) {
        for (const auto& part : change.parts) {
            if (change.is_input == is_input && part.name == value.name) {
                return change;
            }
        }
    }
    const Shape& shape = value.type.shape;
    boundary.push_back(
        {is_input,
         value.name,
         value.type,
         {{value.name, value.type, shape,
           std::vector<std::int64_t>(static_cast<std::size_t>(shape.rank()), 0), shape, shape}}});
    return boundary.back();
}

BoundaryPart& part_of(Boundary& boundary, bool is_input, const mil::NamedType& value) {
    for (auto& part : change_of(boundary, is_input, value).parts) {
        if (part.name == value.name) {
            return part;
        }
    }
    return boundary.back().parts.front();
}

}  // namespace pome::device::legalizing
