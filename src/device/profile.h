#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/numerics.h"

namespace pome::device {

/// One value of a profile with what is known about it, for `pome devices --verbose`.
struct Fact {
    std::string key;  ///< "limits.max_axis"
    std::string value;
    std::string evidence;  ///< measured | derived | assumed
    std::string source;
};

/// What one chip, reached by one route, accepts and how it behaves: data read from profiles/*.toml.
struct Profile {
    std::string chip;                 ///< "m4"
    std::string family;               ///< compiler family, "H16"
    std::string route;                ///< "in-memory"
    DType compute = DType::fp16;      ///< what programs for this device are written in
    std::int64_t max_axis = 0;        ///< largest size of an axis; 0: no limit
    std::int64_t max_rank = 0;        ///< 0: no limit
    std::vector<DType> io;            ///< dtypes of inputs and outputs; empty: any
    std::int64_t compile_budget = 0;  ///< programs per process; 0: no limit
    Numerics numerics;
    std::vector<Fact> facts;
};

/// Reads a profile. Every value is a table {value, evidence, source}; unknown keys, missing sources
/// and wrong types throw Error{malformed_file} naming the key.
Profile parse_profile(std::string_view text, std::string_view source_name);

/// The profiles compiled into the library, by chip name.
std::span<const Profile> builtin_profiles();
/// Throws Error{invalid_argument} listing the known chips.
const Profile& find_profile(std::string_view chip);

}  // namespace pome::device
