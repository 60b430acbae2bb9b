#include "mil/literal_text.h"

#include <fmt/format.h>
#include <locale.h>
#include <stdlib.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

#include <bit>
#include <cctype>
#include <charconv>
#include <cmath>
#include <iterator>
#include <string_view>

#include "base/error.h"
#include "base/fp16.h"

namespace pome::mil {
namespace {

constexpr std::string_view nan_bits = "nan_0x";

bool has_spelling(DType dtype) {
    return dtype == DType::fp16 || dtype == DType::fp32 || dtype == DType::fp64;
}

/// All bits of the NaN that "nan" stands for.
std::uint64_t plain_nan(DType dtype) {
    return dtype == DType::fp16 ? 0x7E00 : dtype == DType::fp32 ? 0x7FC00000 : 0x7FF8000000000000;
}

std::uint64_t load(DType dtype, const std::byte* at) {
    std::uint64_t bits = 0;
    for (std::size_t i = size_in_memory(dtype); i-- > 0;) {
        bits = bits << 8 | std::to_integer<std::uint64_t>(at[i]);
    }
    return bits;
}

double real_of(DType dtype, std::uint64_t bits) {
    if (dtype == DType::fp16) {
        return to_float(fp16{static_cast<std::uint16_t>(bits)});
    }
    if (dtype == DType::fp64) {
        return std::bit_cast<double>(bits);
    }
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
}

/// digits ["." digits] [("e" | "p") ["+" | "-"] digits], hexadecimal after "0x".
bool spells_real(std::string_view text) {
    if (text.starts_with('-')) {
        text.remove_prefix(1);
    }
    const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    if (hexadecimal) {
        text.remove_prefix(2);
    }
    std::size_t at = 0;
    const auto digits = [&](bool hex) {
        const std::size_t start = at;
        while (at < text.size()) {
            const auto c = static_cast<unsigned char>(text[at]);
            if (hex ? std::isxdigit(c) == 0 : std::isdigit(c) == 0) {
                break;
            }
            ++at;
        }
        return at - start;
    };
    std::size_t count = digits(hexadecimal);
    if (at < text.size() && text[at] == '.') {
        ++at;
        count += digits(hexadecimal);
    }
    if (count == 0) {
        return false;
    }
    const std::string_view marks = hexadecimal ? "pP" : "eE";
    if (at < text.size() && marks.find(text[at]) != std::string_view::npos) {
        ++at;
        if (at < text.size() && (text[at] == '+' || text[at] == '-')) {
            ++at;
        }
        if (digits(false) == 0) {
            return false;
        }
    }
    return at == text.size();
}

/// The C locale: a program that set another must not change what "0.5" means.
locale_t plain_locale() {
    static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
    return plain;
}

/// Rounded once to fp32 for fp32, else once to double.
double parse_real(DType dtype, const std::string& text) {
    if (dtype == DType::fp32) {
        return strtof_l(text.c_str(), nullptr, plain_locale());
    }
    return strtod_l(text.c_str(), nullptr, plain_locale());
}

std::string not_a_number(DType dtype) {
    return is_integer(dtype) ? "which is not an integer" : "which is not a number";
}

std::string append_nan(Literal::Bytes& bytes, DType dtype, const std::string& text) {
    std::uint64_t value = 0;
    const char* const begin = text.data() + nan_bits.size();
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, value, 16);
    const bool fits = bits(dtype) == 64 || value >> bits(dtype) == 0;
    if (error != std::errc() || stop != end || !fits || !std::isnan(real_of(dtype, value))) {
        return fmt::format("which does not hold the bits of a NaN of {}", name(dtype));
    }
    append_integer(bytes, dtype, value);
    return "";
}

std::string append_floating(Literal::Bytes& bytes, DType dtype, const std::string& text) {
    if (!has_spelling(dtype)) {
        return fmt::format("but {} is read from weight files only", name(dtype));
    }
    if (text.starts_with(nan_bits)) {
        return append_nan(bytes, dtype, text);
    }
    const bool negative = text.starts_with('-');
    const std::string_view magnitude = std::string_view(text).substr(negative ? 1 : 0);
    if (magnitude == "nan") {
        const std::uint64_t sign = std::uint64_t{negative} << (bits(dtype) - 1);
        append_integer(bytes, dtype, plain_nan(dtype) | sign);
        return "";
    }
    if (magnitude == "inf") {
        append_real(bytes, dtype, negative ? -HUGE_VAL : HUGE_VAL);
        return "";
    }
    if (!spells_real(text)) {
        return not_a_number(dtype);
    }
    append_real(bytes, dtype, parse_real(dtype, text));
    if (std::isinf(
            real_of(dtype, load(dtype, bytes.data() + bytes.size() - size_in_memory(dtype))))) {
        bytes.resize(bytes.size() - size_in_memory(dtype));
        return fmt::format("which does not fit {} (infinity is spelled inf)", name(dtype));
    }
    return "";
}

template <typename T>
std::string append_integer_text(Literal::Bytes& bytes, DType dtype, const std::string& text) {
    T value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (stop != end || error == std::errc::invalid_argument) {
        return not_a_number(dtype);
    }
    const IntegerRange range = integer_range(dtype);
    bool fits = error == std::errc();
    if constexpr (std::is_signed_v<T>) {
        fits = fits && value >= range.low;
    } else {
        fits = fits && value <= range.high;
    }
    if (!fits) {
        return fmt::format("which does not fit {} ({} to {})", name(dtype), range.low, range.high);
    }
    append_integer(bytes, dtype, static_cast<std::uint64_t>(value));
    return "";
}

}  // namespace

IntegerRange integer_range(DType dtype) {
    if (dtype == DType::boolean) {
        return {0, 1};
    }
    const std::size_t width = bits(dtype);
    if (name(dtype).starts_with("uint")) {
        return {0, ~std::uint64_t{0} >> (64 - width)};
    }
    const std::uint64_t half = std::uint64_t{1} << (width - 1);
    return {-static_cast<std::int64_t>(half - 1) - 1, half - 1};
}

void append_integer(Literal::Bytes& bytes, DType dtype, std::uint64_t value) {
    for (std::size_t i = 0; i < size_in_memory(dtype); ++i) {
        bytes.push_back(static_cast<std::byte>(value >> (8 * i) & 0xFF));
    }
}

void append_real(Literal::Bytes& bytes, DType dtype, double value) {
    switch (dtype) {
        case DType::fp16:
            return append_integer(bytes, dtype, to_fp16(value, Rounding::nearest_even).bits);
        case DType::fp32:
            return append_integer(bytes, dtype,
                                  std::bit_cast<std::uint32_t>(static_cast<float>(value)));
        case DType::fp64:
            return append_integer(bytes, dtype, std::bit_cast<std::uint64_t>(value));
        default:
            fail(Code::unsupported, "mil.literal",
                 "literals of {} cannot be made from numbers; store them in a weight file",
                 name(dtype));
    }
}

std::string append_number(Literal::Bytes& bytes, DType dtype, const std::string& text) {
    if (is_floating(dtype)) {
        return append_floating(bytes, dtype, text);
    }
    if (!is_integer(dtype)) {
        return not_a_number(dtype);
    }
    if (text.starts_with('-')) {
        return append_integer_text<std::int64_t>(bytes, dtype, text);
    }
    return append_integer_text<std::uint64_t>(bytes, dtype, text);
}

void print_number(std::string& out, DType dtype, const std::byte* at) {
    const std::uint64_t value = load(dtype, at);
    if (dtype == DType::boolean) {
        out += value != 0 ? "true" : "false";
    } else if (is_integer(dtype)) {
        const bool negative = integer_range(dtype).low < 0;
        const std::size_t unused = 64 - 8 * size_in_memory(dtype);
        const auto extended = static_cast<std::int64_t>(value << unused) >> unused;
        negative ? fmt::format_to(std::back_inserter(out), "{}", extended)
                 : fmt::format_to(std::back_inserter(out), "{}", value);
    } else if (!has_spelling(dtype)) {
        fail(Code::unsupported, "mil.text",
             "a literal of {} cannot be written; store it in a weight file", name(dtype));
    } else if (const double real = real_of(dtype, value); std::isnan(real)) {
        out += "nan";
        if (value != plain_nan(dtype)) {
            fmt::format_to(std::back_inserter(out), "_0x{:x}", value);
        }
    } else if (std::isinf(real)) {
        out += real > 0 ? "inf" : "-inf";
    } else {
        fmt::format_to(std::back_inserter(out), "{:a}", real);
    }
}

void print_string(std::string& out, const std::string& text) {
    out += '"';
    for (const char c : text) {
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\t':
                out += "\\t";
                break;
            case '\r':
                out += "\\r";
                break;
            default:
                out += c;
        }
    }
    out += '"';
}

}  // namespace pome::mil
