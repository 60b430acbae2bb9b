#include "formats/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/bytes.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.safetensors";
constexpr std::uint64_t longest_header = 100'000'000;

struct Name {
    std::string_view file;
    DType dtype;
};
constexpr Name names[] = {{"F16", DType::fp16},    {"F32", DType::fp32},   {"F64", DType::fp64},
                          {"BF16", DType::bf16},   {"I8", DType::int8},    {"I16", DType::int16},
                          {"I32", DType::int32},   {"I64", DType::int64},  {"U8", DType::uint8},
                          {"U16", DType::uint16},  {"U32", DType::uint32}, {"U64", DType::uint64},
                          {"BOOL", DType::boolean}};

std::string_view file_name(DType dtype) {
    for (const Name& name : names) {
        if (name.dtype == dtype) {
            return name.file;
        }
    }
    fail(Code::unsupported, here, "{} cannot be stored in a safetensors file", name(dtype));
}

/// Reads one header entry; everything in it is somebody's word.
SafetensorsFile::Tensor read_entry(const ByteReader& in, const std::string& key,
                                   const nlohmann::json& entry, std::uint64_t data,
                                   std::pair<std::uint64_t, std::uint64_t>& range) {
    const auto wrong = [&](std::string_view what) { in.fail_at(8, "tensor '{}': {}", key, what); };
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
        !entry.contains("data_offsets")) {
        wrong("needs dtype, shape and data_offsets");
    }
    SafetensorsFile::Tensor tensor;
    const auto found = std::find_if(std::begin(names), std::end(names),
                                    [&](const Name& name) { return entry["dtype"] == name.file; });
    if (found == std::end(names)) {
        wrong("unknown dtype " + entry["dtype"].dump());
    }
    tensor.dtype = found->dtype;
    std::uint64_t bytes = size_in_memory(tensor.dtype);
    std::vector<std::int64_t> sizes;
    if (!entry["shape"].is_array()) {
        wrong("shape is no array");
    }
    for (const auto& size : entry["shape"]) {
        if (!size.is_number_unsigned()) {
            wrong("shape has a size that is negative or no integer");
        }
        const auto value = size.get<std::uint64_t>();
        if (value != 0 && bytes > (std::uint64_t{1} << 62) / value) {
            wrong("shape has more than 2^62 bytes");
        }
        bytes *= value;
        sizes.push_back(static_cast<std::int64_t>(value));
    }
    tensor.shape = Shape(std::move(sizes));
    const auto& offsets = entry["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
        wrong("data_offsets are not two offsets");
    }
    range = {offsets[0].get<std::uint64_t>(), offsets[1].get<std::uint64_t>()};
    const std::uint64_t room = in.size() - data;
    if (range.first > range.second || range.second > room) {
        wrong(fmt::format("bytes {} to {} do not lie in the {} bytes of data; truncated?",
                          range.first, range.second, room));
    }
    if (range.second - range.first != bytes) {
        wrong(fmt::format("{} bytes, {} {} has {}", range.second - range.first, name(tensor.dtype),
                          tensor.shape.text(), bytes));
    }
    tensor.bytes = in.bytes(data + range.first, bytes);
    return tensor;
}

}  // namespace

std::map<std::string, SafetensorsFile::Tensor, std::less<>> parse_safetensors(
    std::span<const std::byte> bytes, std::string_view source,
    std::map<std::string, std::string, std::less<>>* metadata) {
    const ByteReader in(bytes, here, source);
    const std::uint64_t length = in.u64(0);
    if (length > longest_header || length > in.size() - 8) {
        in.fail_at(0, "the header has {} bytes, the file {}; truncated, or not a safetensors file",
                   length, in.size());
    }
    const auto text = in.bytes(8, length);
    std::set<std::string> keys;
    bool repeated = false;
    const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
        if (depth == 1 && event == nlohmann::json::parse_event_t::key) {
            repeated = !keys.insert(parsed.get<std::string>()).second || repeated;
        }
        return depth <= 4;
    };
    const auto header = nlohmann::json::parse(
        reinterpret_cast<const char*>(text.data()),
        reinterpret_cast<const char*>(text.data() + text.size()), watch, false);
    if (!header.is_object()) {
        in.fail_at(8, "the header is no JSON object");
    }
    if (repeated) {
        in.fail_at(8, "the header names a tensor twice");
    }
    std::map<std::string, SafetensorsFile::Tensor, std::less<>> tensors;
    std::vector<std::pair<std::pair<std::uint64_t, std::uint64_t>, std::string>> ranges;
    for (const auto& [key, entry] : header.items()) {
        if (key == "__metadata__") {
            for (const auto& [name, value] : entry.items()) {
                if (!value.is_string()) {
                    in.fail_at(8, "metadata '{}' is no string", name);
                }
                if (metadata != nullptr) {
                    (*metadata)[name] = value.get<std::string>();
                }
            }
            continue;
        }
        ranges.emplace_back(std::pair<std::uint64_t, std::uint64_t>{}, key);
        tensors[key] = read_entry(in, key, entry, 8 + length, ranges.back().first);
    }
    std::sort(ranges.begin(), ranges.end());
    std::uint64_t end = 0;
    for (const auto& [range, key] : ranges) {
        if (range.first != end) {
            in.fail_at(
                8, "tensor '{}': its bytes start at {}, {} at {}", key, range.first,
                range.first < end ? "they overlap those before, which end" : "the ones before end",
                end);
        }
        end = range.second;
    }
    if (8 + length + end != in.size()) {
        in.fail_at(8 + length + end, "the tensors end at byte {}, the file at {}", 8 + length + end,
                   in.size());
    }
    return tensors;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
    tensors_ = parse_safetensors(file_.bytes(), path.string(), &metadata_);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string, std::less<>>& metadata) {
    nlohmann::ordered_json header;
    if (!metadata.empty()) {
        for (const auto& [key, value] : metadata) {
            header["__metadata__"][key] = value;
        }
    }
    std::uint64_t offset = 0;
    for (const TensorView& tensor : tensors) {
        const std::uint64_t end = offset + tensor.bytes.size();
        header[tensor.name] = {{"dtype", file_name(tensor.dtype)},
                               {"shape", tensor.shape.sizes()},
                               {"data_offsets", {offset, end}}};
        offset = end;
    }
    std::string text = header.is_null() ? "{}" : header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
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
