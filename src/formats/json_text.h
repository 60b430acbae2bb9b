#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace pome::formats {

/// Parses the JSON text at bytes [at, at + length) of a file from outside. Objects and arrays nest
/// at most `depth` deep (so that nothing recurses without bound later) and no object has a key
/// twice. Throws Error{malformed_file} with the place in the file.
nlohmann::json parse_json(const ByteReader& in, std::uint64_t at, std::uint64_t length, int depth);

}  // namespace pome::formats
