#include "device/failures.h"

namespace pome::device {

std::string_view name(Reaction reaction) {
    switch (reaction) {
        case Reaction::works:
            return "works";
        case Reaction::refused:
            return "refused";
        case Reaction::failed:
            return "failed";
        case Reaction::zeros:
            return "zeros";
        case Reaction::ignored:
            return "ignored";
        case Reaction::poisoned:
            return "poisoned";
    }
    return "works";
}

}  // namespace pome::device
