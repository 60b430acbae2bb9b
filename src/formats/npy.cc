#include "formats/npy.h"

#include <charconv>
#include <string>

#include "base/bytes.h"
#include "base/file.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.npy";

struct Name {
    std::string_view code;
    DType dtype;
};
constexpr Name names[] = {{"<f2", DType::fp16},   {"<f4", DType::fp32},   {"<f8", DType::fp64},
                          {"|i1", DType::int8},   {"<i2", DType::int16},  {"<i4", DType::int32},
                          {"<i8", DType::int64},  {"|u1", DType::uint8},  {"<u2", DType::uint16},
                          {"<u4", DType::uint32}, {"<u8", DType::uint64}, {"|b1", DType::boolean}};

/// The text after "'key':" up to the end of its value.
std::string_view value_of(const ByteReader& in, std::string_view header, std::string_view key) {
    const std::string quoted = "'" + std::string(key) + "'";
    const auto found = header.find(quoted);
    const auto colon =
        found == std::string_view::npos ? found : header.find(':', found + quoted.size());
    if (colon == std::string_view::npos) {
        in.fail_at(10, "the header has no '{}'", key);
    }
    auto rest = header.substr(colon + 1);
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    return rest;
}

Shape shape_of(const ByteReader& in, std::string_view text) {
    if (!text.starts_with('(') || text.find(')') == std::string_view::npos) {
        in.fail_at(10, "the shape is no tuple");
    }
    text = text.substr(1, text.find(')') - 1);
    std::vector<std::int64_t> sizes;
    while (!text.empty()) {
        text.remove_prefix(std::min(text.find_first_not_of(" ,"), text.size()));
        if (text.empty()) {
            break;
        }
        std::int64_t size = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
        if (error != std::errc() || size < 0) {
            in.fail_at(10, "the shape has a size that is no positive integer");
        }
        sizes.push_back(size);
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    }
    return Shape(std::move(sizes));
}

}  // namespace

Array parse_npy(std::span<const std::byte> bytes, std::string_view source) {
    const ByteReader in(bytes, here, source);
    constexpr std::string_view magic = "\x93NUMPY";
    const auto start = in.bytes(0, 8);
    if (std::string_view(reinterpret_cast<const char*>(start.data()), 6) != magic) {
        in.fail_at(0, "this is no .npy file; write one with numpy.save");
    }
    const std::uint8_t version = in.u8(6);
    if (version < 1 || version > 3) {
        in.fail_at(6, "version {} is unknown", version);
    }
    const std::uint64_t length = version == 1 ? in.u16(8) : in.u32(8),
                        begin = version == 1 ? 10 : 12;
    const auto raw = in.bytes(begin, length);
    const std::string_view header(reinterpret_cast<const char*>(raw.data()), raw.size());
    Array array;
    const auto descr = value_of(in, header, "descr");
    const Name* found = nullptr;
    for (const Name& name : names) {
        if (descr.substr(0, 5) == "'" + std::string(name.code) + "'") {
            found = &name;
        }
    }
    if (found == nullptr) {
        in.fail_at(begin,
                   "dtype {} is not read; convert with array.astype('<f2') or another "
                   "little-endian number type",
                   descr.substr(0, descr.find(',')));
    }
    array.dtype = found->dtype;
    if (!value_of(in, header, "fortran_order").starts_with("False")) {
        in.fail_at(begin, "the array is in Fortran order; save numpy.ascontiguousarray(array)");
    }
    array.shape = shape_of(in, value_of(in, header, "shape"));
    const auto elements = static_cast<std::uint64_t>(array.shape.elements());
    const std::uint64_t room = in.size() - begin - length, size = size_in_memory(array.dtype);
    if (elements > room || elements * size != room) {
        in.fail_at(begin + length, "{} bytes of data, shape {} of {} has {}; truncated?", room,
                   array.shape.text(), name(array.dtype), elements * size);
    }
    const auto data = in.bytes(begin + length, room);
    array.bytes.assign(data.begin(), data.end());
    return array;
}

Array read_npy(const std::filesystem::path& path) {
    const MappedFile file(path);
    return parse_npy(file.bytes(), path.string());
}

void write_npy(const std::filesystem::path& path, const Array& array) {
    std::string_view code;
    for (const Name& name : names) {
        if (name.dtype == array.dtype) {
            code = name.code;
        }
    }
    if (code.empty()) {
        fail(Code::unsupported, here, "{}: {} cannot be stored as .npy", path.string(),
             name(array.dtype));
    }
    std::string shape = "(";
    for (const std::int64_t size : array.shape) {
        shape += std::to_string(size) + ", ";
    }
    if (array.shape.rank() > 1) {
        shape.resize(shape.size() - 2);
    }
    if (array.shape.rank() == 1) {
        shape.resize(shape.size() - 1);
    }
    std::string header =
        fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}), }}", code, shape);
    header.resize((header.size() + 10 + 1 + 63) / 64 * 64 - 10 - 1, ' ');
    header += '\n';
    ByteWriter out;
    out.put_bytes(std::as_bytes(std::span("\x93NUMPY\x01\x00", 8)));
    out.put(static_cast<std::uint16_t>(header.size()));
    out.put_bytes(std::as_bytes(std::span(header)));
    out.put_bytes(array.bytes);
    write_file_atomic(path, out.bytes());
}

}  // namespace pome::formats
