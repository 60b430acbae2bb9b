#include "mil/program.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/fp16.h"
#include "mil/literal_text.h"

namespace pome::mil {
namespace {

void append_value(Literal::Bytes& bytes, DType dtype, double value) {
    if (dtype == DType::string || is_floating(dtype)) {
        return append_real(bytes, dtype, value);
    }
    const IntegerRange range = integer_range(dtype);
    // One past the highest is a power of two: exact in double, which 2^64 - 1 is not.
    const double end = 2.0 * static_cast<double>(range.high / 2 + 1);
    if (!(value >= static_cast<double>(range.low) && value < end) || value != std::floor(value)) {
        fail(Code::malformed_program, "mil.literal", "{} does not fit {}", value, name(dtype));
    }
    append_integer(bytes, dtype,
                   value < 0 ? static_cast<std::uint64_t>(static_cast<std::int64_t>(value))
                             : static_cast<std::uint64_t>(value));
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

bool operator==(const Literal& a, const Literal& b) {
    return a.type == b.type && a.payload == b.payload;
}

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
        append_value(bytes, dtype, value);
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
