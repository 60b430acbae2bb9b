#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/dtype.h"
#include "mil/program.h"

namespace pome::mil {

/// The numbers that an integer type or bool holds, both ends included.
struct IntegerRange {
    std::int64_t low = 0;
    std::uint64_t high = 0;
};
IntegerRange integer_range(DType dtype);

/// Appends an integer that is in range, as `Literal::Bytes` lays it out; negative ones as two's
/// complement in `bits`.
void append_integer(Literal::Bytes& bytes, DType dtype, std::uint64_t bits);
/// Appends a number rounded to nearest even. `dtype` is fp16, fp32 or fp64.
void append_real(Literal::Bytes& bytes, DType dtype, double value);

/// Appends the number that `text` spells: an integer for integer types, "0.1", "-3", "1e-5",
/// "0x1.8p-3", "inf", "-inf", "nan" or "nan_0x7e01" (all bits of a NaN, in hexadecimal) for
/// floating ones. fp32 and fp64 are rounded once; fp16 goes by way of the nearest double, which
/// differs from rounding once only for numbers closer than 2^-53 (relative) to the middle between
/// two fp16 values. Returns "" or, having appended nothing, why it was refused: "which does not fit
/// int8 (-128 to 127)".
std::string append_number(Literal::Bytes& bytes, DType dtype, const std::string& text);

/// The element at `at`, spelled so that append_number gives the same bytes: floats in hexadecimal.
/// Throws Error{unsupported} for types that have no spelling (bf16, fp8).
void print_number(std::string& out, DType dtype, const std::byte* at);

/// A string in quotes; '"', '\', line feeds, tabs and carriage returns are escaped.
void print_string(std::string& out, const std::string& text);

}  // namespace pome::mil
