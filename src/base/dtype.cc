#include "base/dtype.h"

#include <array>

namespace pome {
namespace {

struct Row {
    std::string_view name;
    std::uint8_t bytes;
    std::uint8_t bits;
    char kind;  // f floating, i integer, b bool, s string
};

// In the order of the enumeration.
constexpr std::array<Row, 22> rows{{
    {"fp16", 2, 16, 'f'},     {"fp32", 4, 32, 'f'},   {"fp64", 8, 64, 'f'},
    {"bf16", 2, 16, 'f'},     {"int4", 1, 4, 'i'},    {"int8", 1, 8, 'i'},
    {"int16", 2, 16, 'i'},    {"int32", 4, 32, 'i'},  {"int64", 8, 64, 'i'},
    {"uint1", 1, 1, 'i'},     {"uint2", 1, 2, 'i'},   {"uint3", 1, 3, 'i'},
    {"uint4", 1, 4, 'i'},     {"uint6", 1, 6, 'i'},   {"uint8", 1, 8, 'i'},
    {"uint16", 2, 16, 'i'},   {"uint32", 4, 32, 'i'}, {"uint64", 8, 64, 'i'},
    {"fp8e4m3fn", 1, 8, 'f'}, {"fp8e5m2", 1, 8, 'f'}, {"bool", 1, 8, 'b'},
    {"string", 0, 0, 's'},
}};

const Row& row(DType dtype) {
    return rows[static_cast<std::size_t>(dtype)];
}

}  // namespace

std::string_view name(DType dtype) {
    return row(dtype).name;
}

std::optional<DType> dtype_from_name(std::string_view text) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].name == text) {
            return static_cast<DType>(i);
        }
    }
    return std::nullopt;
}

std::size_t size_in_memory(DType dtype) {
    return row(dtype).bytes;
}
std::size_t bits(DType dtype) {
    return row(dtype).bits;
}
bool is_floating(DType dtype) {
    return row(dtype).kind == 'f';
}
bool is_integer(DType dtype) {
    return row(dtype).kind == 'i';
}

}  // namespace pome
