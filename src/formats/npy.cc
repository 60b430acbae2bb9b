#include "formats/npy.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/file.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.npy";
constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t most_axes = 64;  // NumPy's own limit

struct Name {
    std::string_view code;
    DType dtype;
};
constexpr Name names[] = {{"<f2", DType::fp16},   {"<f4", DType::fp32},   {"<f8", DType::fp64},
                          {"|i1", DType::int8},   {"<i2", DType::int16},  {"<i4", DType::int32},
                          {"<i8", DType::int64},  {"|u1", DType::uint8},  {"<u2", DType::uint16},
                          {"<u4", DType::uint32}, {"<u8", DType::uint64}, {"|b1", DType::boolean}};

/// The header: a Python dictionary of 'descr', 'fortran_order' and 'shape', as text.
class HeaderReader {
  public:
    HeaderReader(const ByteReader& in, std::uint64_t begin, std::string_view text)
        : in_(in), begin_(begin), text_(text) {}

    /// An array without its bytes.
    Array read() {
        expect('{');
        while (!accept('}')) {
            const std::string key(string());
            expect(':');
            value(key);
            if (!accept(',')) {
                expect('}');
                break;
            }
        }
        skip_blanks();
        if (at_ != text_.size()) {
            fail("text follows the header's end");
        }
        if (!dtype_) {
            fail("the header has no 'descr'");
        }
        if (!ordered_) {
            fail("the header has no 'fortran_order'");
        }
        if (!shape_) {
            fail("the header has no 'shape'");
        }
        return {*dtype_, Shape(std::move(*shape_)), {}};
    }

  private:
    template <typename... Args>
    [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
        in_.fail_at(begin_ + at_, format, std::forward<Args>(args)...);
    }
    void skip_blanks() { at_ = std::min(text_.find_first_not_of(" \n", at_), text_.size()); }
    bool accept(char wanted) {
        skip_blanks();
        if (at_ == text_.size() || text_[at_] != wanted) {
            return false;
        }
        ++at_;
        return true;
    }
    void expect(char wanted) {
        if (!accept(wanted)) {
            fail("the header has no '{}' where it is needed", wanted);
        }
    }
    std::string_view string() {
        expect('\'');
        const auto end = text_.find('\'', at_);
        if (end == std::string_view::npos) {
            fail("the header's text has no end quote");
        }
        const auto result = text_.substr(at_, end - at_);
        at_ = end + 1;
        return result;
    }

    void value(const std::string& key) {
        if (key == "descr" && !dtype_) {
            dtype_ = dtype();
        } else if (key == "fortran_order" && !ordered_) {
            ordered_ = true;
            order();
        } else if (key == "shape" && !shape_) {
            shape_ = shape();
        } else {
            fail("the header's key '{}' is unknown or stands twice", key);
        }
    }
    DType dtype() {
        skip_blanks();
        if (at_ < text_.size() && text_[at_] == '[') {
            fail("structured arrays are not read; save each field as an array of its own");
        }
        const auto code = string();
        for (const Name& name : names) {
            if (name.code == code) {
                return name.dtype;
            }
        }
        if (code.starts_with('>')) {
            fail("dtype '{}' is big-endian; save array.astype('<{}')", code, code.substr(1));
        }
        fail("dtype '{}' is not read; save array.astype(numpy.float32) or another number type",
             code);
    }
    void order() {
        skip_blanks();
        const auto rest = text_.substr(at_);
        if (rest.starts_with("True")) {
            fail("the array is in Fortran order; save numpy.ascontiguousarray(array)");
        }
        if (!rest.starts_with("False")) {
            fail("'fortran_order' is neither True nor False");
        }
        at_ += 5;
    }
    std::vector<std::int64_t> shape() {
        std::vector<std::int64_t> sizes;
        expect('(');
        while (!accept(')')) {
            skip_blanks();
            std::int64_t size = -1;
            const char* first = text_.data() + at_;
            const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), size);
            if (error != std::errc() || size < 0) {
                fail("'shape' has a size that is no integer from 0 to 2^63 - 1");
            }
            if (sizes.size() == most_axes) {
                fail("'shape' has more than {} axes", most_axes);
            }
            sizes.push_back(size);
            at_ += static_cast<std::size_t>(end - first);
            if (!accept(',')) {
                expect(')');
                break;
            }
        }
        return sizes;
    }

    const ByteReader& in_;
    std::uint64_t begin_;
    std::string_view text_;
    std::size_t at_ = 0;
    std::optional<DType> dtype_;
    bool ordered_ = false;
    std::optional<std::vector<std::int64_t>> shape_;
};

/// Bytes of the array; nothing when there are more than fit 62 bits.
std::optional<std::uint64_t> byte_count(DType dtype, const Shape& shape) {
    std::uint64_t bytes = size_in_memory(dtype);
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
        return 0;
    }
    for (const std::int64_t size : shape) {
        if (bytes > (std::uint64_t{1} << 62) / static_cast<std::uint64_t>(size)) {
            return {};
        }
        bytes *= static_cast<std::uint64_t>(size);
    }
    return bytes;
}

std::string python_tuple(const Shape& shape) {
    const auto joined = fmt::format("{}", fmt::join(shape.sizes(), ", "));
    return shape.rank() == 1 ? "(" + joined + ",)" : "(" + joined + ")";
}

}  // namespace

Array parse_npy(std::span<const std::byte> bytes, std::string_view source) {
    const ByteReader in(bytes, here, source);
    const auto start = in.bytes(0, magic.size());
    if (!std::equal(start.begin(), start.end(), std::as_bytes(std::span(magic)).begin())) {
        in.fail_at(0, "this is no .npy file; write one with numpy.save");
    }
    const std::uint8_t version = in.u8(6);
    if (version < 1 || version > 3) {
        in.fail_at(6, "version {} is unknown; 1 to 3 are read", version);
    }
    const std::uint64_t length = version == 1 ? in.u16(8) : in.u32(8);
    const std::uint64_t begin = version == 1 ? 10 : 12;
    const auto raw = in.bytes(begin, length);
    Array array =
        HeaderReader(in, begin, {reinterpret_cast<const char*>(raw.data()), raw.size()}).read();

    const std::uint64_t room = in.size() - begin - length;
    const auto wanted = byte_count(array.dtype, array.shape);
    if (!wanted) {
        in.fail_at(begin, "shape {} has more than 2^62 bytes", array.shape.text());
    }
    if (*wanted != room) {
        in.fail_at(begin + length, "{} bytes of data, shape {} of {} has {}; {}", room,
                   array.shape.text(), name(array.dtype), *wanted,
                   room < *wanted ? "truncated?" : "more than one array?");
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
    const auto* known = std::find_if(std::begin(names), std::end(names),
                                     [&](const Name& name) { return name.dtype == array.dtype; });
    if (known == std::end(names)) {
        fail(Code::unsupported, here, "{}: {} cannot be stored as .npy", path.string(),
             name(array.dtype));
    }
    const auto elements = static_cast<std::uint64_t>(array.shape.elements());
    const std::uint64_t size = size_in_memory(array.dtype);
    if (array.bytes.size() % size != 0 || array.bytes.size() / size != elements) {
        fail(Code::invalid_argument, here, "{}: {} bytes do not fill {} {}", path.string(),
             array.bytes.size(), name(array.dtype), array.shape.text());
    }
    std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
                                     known->code, python_tuple(array.shape));
    // The data starts at a multiple of 64; a newline ends the padding.
    header.resize((header.size() + 10 + 1 + 63) / 64 * 64 - 10 - 1, ' ');
    header += '\n';
    if (header.size() > 0xFFFF) {
        fail(Code::unsupported, here, "{}: a shape of {} axes does not fit a version 1.0 header",
             path.string(), array.shape.rank());
    }
    ByteWriter start;
    start.put_bytes(std::as_bytes(std::span(magic)));
    start.put(std::uint16_t{1});  // version 1.0
    start.put(static_cast<std::uint16_t>(header.size()));
    AtomicFile file(path);
    file.write(start.bytes());
    file.write(header);
    file.write(array.bytes);
    file.commit();
}

}  // namespace pome::formats
