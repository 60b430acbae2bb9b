#include "formats/safetensors.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "formats/json_text.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.safetensors";
constexpr std::uint64_t longest_header = 100'000'000;  // the format's own limit
constexpr std::string_view metadata_key = "__metadata__";

struct Name {
    std::string_view file;
    DType dtype;
};
constexpr Name names[] = {
    {"F16", DType::fp16},           {"F32", DType::fp32},         {"F64", DType::fp64},
    {"BF16", DType::bf16},          {"I8", DType::int8},          {"I16", DType::int16},
    {"I32", DType::int32},          {"I64", DType::int64},        {"U8", DType::uint8},
    {"U16", DType::uint16},         {"U32", DType::uint32},       {"U64", DType::uint64},
    {"F8_E4M3", DType::fp8_e4m3fn}, {"F8_E5M2", DType::fp8_e5m2}, {"BOOL", DType::boolean}};

std::string_view file_name(const TensorView& tensor) {
    for (const Name& name : names) {
        if (name.dtype == tensor.dtype) {
            return name.file;
        }
    }
    fail(Code::unsupported, here, "tensor '{}': {} cannot be stored in a safetensors file",
         tensor.name, name(tensor.dtype));
}

using Json = nlohmann::json;
using Tensor = SafetensorsFile::Tensor;

/// One tensor's part of the data, in bytes after the header.
struct Range {
    std::uint64_t begin = 0, end = 0;
    std::string tensor;
};

/// Reads one header entry; everything in it is somebody's word.
class EntryReader {
  public:
    EntryReader(const ByteReader& in, std::string key, const Json& entry, std::uint64_t data)
        : in_(in), key_(std::move(key)), entry_(entry), data_(data) {
        if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") ||
            !entry.contains("shape") || !entry.contains("data_offsets")) {
            fail("needs dtype, shape and data_offsets, nothing else");
        }
    }

    Tensor read(Range& range) const {
        Tensor tensor;
        tensor.dtype = dtype();
        tensor.shape = shape();
        range = this->range();
        const std::uint64_t wanted = byte_count(tensor), found = range.end - range.begin;
        if (found != wanted) {
            fail("{} bytes, {} {} has {}", found, name(tensor.dtype), tensor.shape.text(), wanted);
        }
        tensor.bytes = in_.bytes(data_ + range.begin, found);
        return tensor;
    }

  private:
    template <typename... Args>
    [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
        in_.fail_at(8, "tensor '{}': {}", key_, fmt::format(format, std::forward<Args>(args)...));
    }

    DType dtype() const {
        const Json& value = entry_["dtype"];
        if (!value.is_string()) {
            fail("its dtype is no text");
        }
        const auto& text = value.get_ref<const std::string&>();
        for (const Name& name : names) {
            if (name.file == text) {
                return name.dtype;
            }
        }
        fail("unknown dtype '{}'", text);
    }
    Shape shape() const {
        const Json& value = entry_["shape"];
        if (!value.is_array()) {
            fail("its shape is no array");
        }
        std::vector<std::int64_t> sizes;
        for (const Json& size : value) {
            if (!size.is_number_unsigned()) {
                fail("shape has a size that is negative or no integer");
            }
            if (size.get<std::uint64_t>() > std::uint64_t{1} << 62) {
                fail("shape has a size beyond 2^62");
            }
            sizes.push_back(size.get<std::int64_t>());
        }
        return Shape(std::move(sizes));
    }
    std::uint64_t byte_count(const Tensor& tensor) const {
        std::uint64_t bytes = size_in_memory(tensor.dtype);
        if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) {
            return 0;
        }
        for (const std::int64_t size : tensor.shape) {
            if (bytes > (std::uint64_t{1} << 62) / static_cast<std::uint64_t>(size)) {
                fail("shape has more than 2^62 bytes");
            }
            bytes *= static_cast<std::uint64_t>(size);
        }
        return bytes;
    }
    Range range() const {
        const Json& value = entry_["data_offsets"];
        if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
            !value[1].is_number_unsigned()) {
            fail("data_offsets are not two offsets");
        }
        Range range{value[0].get<std::uint64_t>(), value[1].get<std::uint64_t>(), key_};
        const std::uint64_t room = in_.size() - data_;
        if (range.begin > range.end || range.end > room) {
            fail("bytes {} to {} do not lie in the {} bytes of data; truncated?", range.begin,
                 range.end, room);
        }
        return range;
    }

    const ByteReader& in_;
    std::string key_;
    const Json& entry_;
    std::uint64_t data_;
};

void read_metadata(const ByteReader& in, const Json& entry,
                   std::map<std::string, std::string, std::less<>>& metadata) {
    if (!entry.is_object()) {
        in.fail_at(8, "{} is no JSON object", metadata_key);
    }
    for (const auto& [name, value] : entry.items()) {
        if (!value.is_string()) {
            in.fail_at(8, "metadata '{}' is no text", name);
        }
        metadata[name] = value.get<std::string>();
    }
}

void check_ranges(const ByteReader& in, std::uint64_t data, std::vector<Range> ranges) {
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
        return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    std::uint64_t end = 0;
    for (const Range& range : ranges) {
        if (range.begin != end) {
            in.fail_at(
                8, "tensor '{}': its bytes start at {}, {} at {}", range.tensor, range.begin,
                range.begin < end ? "they overlap those before, which end" : "the ones before end",
                end);
        }
        end = range.end;
    }
    if (data + end != in.size()) {
        in.fail_at(data + end, "the tensors end at byte {}, the file at {}", data + end, in.size());
    }
}

void check_views(const std::filesystem::path& path, std::span<const TensorView> tensors) {
    std::set<std::string_view> seen{metadata_key};
    for (const TensorView& tensor : tensors) {
        if (!seen.insert(tensor.name).second) {
            fail(Code::invalid_argument, here, "{}: the name '{}' is taken", path.string(),
                 tensor.name);
        }
        const auto elements = static_cast<std::uint64_t>(tensor.shape.elements());
        const std::uint64_t unit = std::max<std::uint64_t>(1, size_in_memory(tensor.dtype));
        if (tensor.bytes.size() % unit != 0 || tensor.bytes.size() / unit != elements) {
            fail(Code::invalid_argument, here,
                 "{}: tensor '{}' has {} bytes, they do not fill {} {}", path.string(), tensor.name,
                 tensor.bytes.size(), name(tensor.dtype), tensor.shape.text());
        }
    }
}

std::string header_text(const std::filesystem::path& path, std::span<const TensorView> tensors,
                        const std::map<std::string, std::string, std::less<>>& metadata) {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    for (const auto& [key, value] : metadata) {
        header[std::string(metadata_key)][key] = value;
    }
    std::uint64_t offset = 0;
    for (const TensorView& tensor : tensors) {
        const std::uint64_t end = offset + tensor.bytes.size();
        header[tensor.name] = {{"dtype", file_name(tensor)},
                               {"shape", tensor.shape.sizes()},
                               {"data_offsets", {offset, end}}};
        offset = end;
    }
    std::string text;
    try {
        text = header.dump();
    } catch (const nlohmann::json::exception&) {
        fail(Code::invalid_argument, here, "{}: a tensor's name or its metadata is no UTF-8 text",
             path.string());
    }
    text.resize((text.size() + 7) / 8 * 8, ' ');  // aligns the data
    if (text.size() > longest_header) {
        fail(Code::unsupported, here, "{}: a header of {} bytes, the format allows {}",
             path.string(), text.size(), longest_header);
    }
    return text;
}

}  // namespace

std::map<std::string, Tensor, std::less<>> parse_safetensors(
    std::span<const std::byte> bytes, std::string_view source,
    std::map<std::string, std::string, std::less<>>* metadata) {
    const ByteReader in(bytes, here, source);
    const std::uint64_t length = in.u64(0);
    if (length > longest_header || length > in.size() - 8) {
        in.fail_at(0, "the header has {} bytes, the file {}; truncated, or not a safetensors file",
                   length, in.size());
    }
    if (length == 0 || in.u8(8) != '{') {
        in.fail_at(8, "the header is no JSON object");
    }
    const Json header = parse_json(in, 8, length, 4);
    std::map<std::string, Tensor, std::less<>> tensors;
    std::vector<Range> ranges;
    for (const auto& [key, entry] : header.items()) {
        if (key == metadata_key) {
            std::map<std::string, std::string, std::less<>> read;
            read_metadata(in, entry, read);
            if (metadata != nullptr) {
                *metadata = std::move(read);
            }
            continue;
        }
        tensors[key] = EntryReader(in, key, entry, 8 + length).read(ranges.emplace_back());
    }
    check_ranges(in, 8 + length, std::move(ranges));
    return tensors;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
    tensors_ = parse_safetensors(file_.bytes(), path.string(), &metadata_);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string, std::less<>>& metadata) {
    check_views(path, tensors);
    const std::string text = header_text(path, tensors, metadata);
    ByteWriter length;
    length.put<std::uint64_t>(text.size());
    AtomicFile file(path);
    file.write(length.bytes());
    file.write(text);
    for (const TensorView& tensor : tensors) {
        file.write(tensor.bytes);
    }
    file.commit();
}

}  // namespace pome::formats
