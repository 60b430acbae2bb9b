#include "reference/ops.h"

namespace pome::reference {

Tensor stack(const std::vector<const Tensor*>& values, int axis) {
    auto sizes = values.front()->shape.sizes();
    sizes.insert(sizes.begin() + axis, 1);
    const Shape one(sizes);
    std::vector<Tensor> widened;
    for (const Tensor* value : values) {
        widened.emplace_back(one, value->data);
    }
    std::vector<const Tensor*> parts;
    for (const Tensor& value : widened) {
        parts.push_back(&value);
    }
    Shape result = one;
    result[axis] = static_cast<std::int64_t>(values.size());
    return concat(parts, axis, false, result);
}

}  // namespace pome::reference
