#include "mil/passes/declare_in_order.h"

#include <algorithm>

namespace pome::mil::passes {

Function declare_in_order(Function function) {
    std::stable_sort(
        function.parameters.begin(), function.parameters.end(),
        [](const NamedType& left, const NamedType& right) { return left.name < right.name; });
    std::stable_sort(function.outputs.begin(), function.outputs.end());
    return function;
}

}  // namespace pome::mil::passes
