#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/shape.h"

namespace pome::formats {

/// fp32 tensors by name, row-major.
struct NamedTensor {
    Shape shape;
    std::vector<float> values;
};
using NamedTensors = std::map<std::string, NamedTensor, std::less<>>;

/// `count` little-endian fp32 values at byte `at`, which then lies behind them. Throws
/// Error{malformed_file} with the offset when the file ends before, or at the first value that is
/// not finite, by the tensor's name.
std::vector<float> take_floats(const ByteReader& in, std::uint64_t& at, std::size_t count,
                               std::string_view name);
/// The same as a tensor of `shape`.
NamedTensor take_tensor(const ByteReader& in, std::uint64_t& at, std::string_view name,
                        const Shape& shape);

}  // namespace pome::formats
