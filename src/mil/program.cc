#include "mil/program.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/fp16.h"

namespace pome::mil {
namespace {

template <typename T>
void append(Literal::Bytes& bytes, T value) {
    const std::size_t at = bytes.size();
    bytes.resize(at + sizeof(T));
    std::memcpy(bytes.data() + at, &value, sizeof(T));
}

template <typename T>
void append_integer(Literal::Bytes& bytes, double value, DType dtype, double low, double high) {
    if (!(value >= low && value <= high) || value != std::floor(value)) {
        fail(Code::malformed_program, "mil.literal", "{} does not fit {}", value, name(dtype));
    }
    append(bytes, static_cast<T>(value));
}

double power_of_two(int exponent) {
    return std::ldexp(1.0, exponent);
}

void append_number(Literal::Bytes& bytes, DType dtype, double value) {
    switch (dtype) {
        case DType::fp16:
            return append(bytes, to_fp16(value, Rounding::nearest_even));
        case DType::fp32:
            return append(bytes, static_cast<float>(value));
        case DType::fp64:
            return append(bytes, value);
        case DType::int8:
            return append_integer<std::int8_t>(bytes, value, dtype, -128, 127);
        case DType::int16:
            return append_integer<std::int16_t>(bytes, value, dtype, -32768, 32767);
        case DType::int32:
            return append_integer<std::int32_t>(bytes, value, dtype, -power_of_two(31),
                                                power_of_two(31) - 1);
        case DType::int64:
            return append_integer<std::int64_t>(bytes, value, dtype, -power_of_two(62),
                                                power_of_two(62));
        case DType::uint16:
            return append_integer<std::uint16_t>(bytes, value, dtype, 0, 65535);
        case DType::uint32:
            return append_integer<std::uint32_t>(bytes, value, dtype, 0, power_of_two(32) - 1);
        case DType::uint64:
            return append_integer<std::uint64_t>(bytes, value, dtype, 0, power_of_two(62));
        case DType::int4:
            return append_integer<std::int8_t>(bytes, value, dtype, -8, 7);
        case DType::boolean:
        case DType::uint1:
            return append_integer<std::uint8_t>(bytes, value, dtype, 0, 1);
        case DType::uint2:
            return append_integer<std::uint8_t>(bytes, value, dtype, 0, 3);
        case DType::uint3:
            return append_integer<std::uint8_t>(bytes, value, dtype, 0, 7);
        case DType::uint4:
            return append_integer<std::uint8_t>(bytes, value, dtype, 0, 15);
        case DType::uint6:
            return append_integer<std::uint8_t>(bytes, value, dtype, 0, 63);
        case DType::uint8:
            return append_integer<std::uint8_t>(bytes, value, dtype, 0, 255);
        case DType::bf16:
        case DType::fp8_e4m3fn:
        case DType::fp8_e5m2:
        case DType::string:
            break;
    }
    fail(Code::unsupported, "mil.literal", "literals of {} cannot be written as numbers",
         name(dtype));
}

template <typename T>
std::vector<double> widen(const Literal::Bytes& bytes) {
    std::vector<double> result(bytes.size() / sizeof(T));
    for (std::size_t i = 0; i < result.size(); ++i) {
        T value;
        std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
        if constexpr (std::is_same_v<T, fp16>) {
            result[i] = to_float(value);
        } else {
            result[i] = static_cast<double>(value);
        }
    }
    return result;
}

}  // namespace

Literal Literal::text(std::string value) {
    return {Type::scalar(DType::string), Strings{std::move(value)}};
}

Literal Literal::boolean(bool value) {
    return number(DType::boolean, value ? 1.0 : 0.0);
}
Literal Literal::integer(std::int32_t value) {
    return number(DType::int32, value);
}

Literal Literal::integers(const std::vector<std::int64_t>& values) {
    return tensor(DType::int32, {static_cast<std::int64_t>(values.size())},
                  {values.begin(), values.end()});
}

Literal Literal::number(DType dtype, double value) {
    return tensor(dtype, {}, {value});
}

Literal Literal::tensor(DType dtype, Shape shape, const std::vector<double>& values) {
    if (shape.elements() != static_cast<std::int64_t>(values.size())) {
        fail(Code::malformed_program, "mil.literal", "{} values given for shape {}", values.size(),
             shape.text());
    }
    Bytes bytes;
    bytes.reserve(values.size() * size_in_memory(dtype));
    for (const double value : values) {
        append_number(bytes, dtype, value);
    }
    return {Type::tensor(dtype, std::move(shape)), std::move(bytes)};
}

Literal Literal::blob(Type type, Blob where) {
    return {std::move(type), std::move(where)};
}

std::vector<double> Literal::numbers() const {
    const auto* bytes = std::get_if<Bytes>(&payload);
    if (bytes == nullptr || !type.is_tensor()) {
        fail(Code::malformed_program, "mil.literal", "{} holds no plain numbers", type.text());
    }
    switch (type.dtype) {
        case DType::fp16:
            return widen<fp16>(*bytes);
        case DType::fp32:
            return widen<float>(*bytes);
        case DType::fp64:
            return widen<double>(*bytes);
        case DType::int4:
        case DType::int8:
            return widen<std::int8_t>(*bytes);
        case DType::int16:
            return widen<std::int16_t>(*bytes);
        case DType::int32:
            return widen<std::int32_t>(*bytes);
        case DType::int64:
            return widen<std::int64_t>(*bytes);
        case DType::uint16:
            return widen<std::uint16_t>(*bytes);
        case DType::uint32:
            return widen<std::uint32_t>(*bytes);
        case DType::uint64:
            return widen<std::uint64_t>(*bytes);
        case DType::boolean:
        case DType::uint1:
        case DType::uint2:
        case DType::uint3:
        case DType::uint4:
        case DType::uint6:
        case DType::uint8:
            return widen<std::uint8_t>(*bytes);
        case DType::bf16:
        case DType::fp8_e4m3fn:
        case DType::fp8_e5m2:
        case DType::string:
            break;
    }
    fail(Code::unsupported, "mil.literal", "{} cannot be read as numbers", type.text());
}

const Argument* Operation::find_argument(std::string_view wanted) const {
    const auto found = std::find_if(arguments.begin(), arguments.end(),
                                    [&](const Argument& a) { return a.name == wanted; });
    return found == arguments.end() ? nullptr : &*found;
}

const Literal* Operation::find_attribute(std::string_view wanted) const {
    const auto found = std::find_if(attributes.begin(), attributes.end(),
                                    [&](const Attribute& a) { return a.name == wanted; });
    return found == attributes.end() ? nullptr : &found->value;
}

const Type* Function::find_type(std::string_view value) const {
    for (const auto& parameter : parameters) {
        if (parameter.name == value) {
            return &parameter.type;
        }
    }
    for (const auto& operation : operations) {
        for (const auto& result : operation.results) {
            if (result.name == value) {
                return &result.type;
            }
        }
    }
    return nullptr;
}

const Function* Program::find_function(std::string_view wanted) const {
    const auto found = std::find_if(functions.begin(), functions.end(),
                                    [&](const Function& f) { return f.name == wanted; });
    return found == functions.end() ? nullptr : &*found;
}

}  // namespace pome::mil
