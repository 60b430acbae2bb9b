#include "formats/tensors.h"

#include <cmath>
#include <cstring>

namespace pome::formats {

std::vector<float> take_floats(const ByteReader& in, std::uint64_t& at, std::size_t count,
                               std::string_view name) {
    std::vector<float> values(count);
    const auto bytes = in.bytes(at, count * sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    for (std::size_t i = 0; i < count; ++i) {
        if (!std::isfinite(values[i])) {
            in.fail_at(at + i * sizeof(float), "{}[{}] is {}: weights must be finite", name, i,
                       values[i]);
        }
    }
    at += bytes.size();
    return values;
}

NamedTensor take_tensor(const ByteReader& in, std::uint64_t& at, std::string_view name,
                        const Shape& shape) {
    return {shape, take_floats(in, at, static_cast<std::size_t>(shape.elements()), name)};
}

}  // namespace pome::formats
