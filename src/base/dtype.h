#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pome {

/// Element types of MIL programs and of files. Sub-byte types are held one element a byte in
/// memory.
enum class DType : std::uint8_t {
    fp16,
    fp32,
    fp64,
    bf16,
    int4,
    int8,
    int16,
    int32,
    int64,
    uint1,
    uint2,
    uint3,
    uint4,
    uint6,
    uint8,
    uint16,
    uint32,
    uint64,
    fp8_e4m3fn,
    fp8_e5m2,
    boolean,
    string,
};

/// The name in MIL text: "fp16", "int32", "bool", "string", ...
std::string_view name(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);

/// Bytes that one element takes in memory; 0 for string.
std::size_t size_in_memory(DType dtype);
/// Bits that one element takes in a file (4 for int4); 0 for string.
std::size_t bits(DType dtype);

bool is_floating(DType dtype);
bool is_integer(DType dtype);  ///< signed or unsigned integers; not bool

}  // namespace pome
