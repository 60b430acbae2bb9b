#include "mil/type.h"

namespace pome::mil {

std::string Type::text() const {
    switch (kind) {
        case Kind::tensor:
            return shape.rank() == 0 ? std::string(name(dtype))
                                     : std::string(name(dtype)) + " " + shape.text();
        case Kind::list:
            return "list";
        case Kind::tuple:
            return "tuple";
        case Kind::dictionary:
            return "dictionary";
        case Kind::state:
            return "state";
    }
    return "?";
}

}  // namespace pome::mil
