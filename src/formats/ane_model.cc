#include "formats/ane_model.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/bytes.h"
#include "base/file.h"
#include "base/fp16.h"
#include "formats/json_text.h"
#include "formats/weight_blob.h"

namespace pome::formats {
namespace {

using nlohmann::json;

constexpr std::string_view here = "formats.ane_model";
constexpr std::string_view format = "pome.model";
constexpr int version = 1;
constexpr std::uint64_t first_record = 64;
constexpr std::size_t name_limit = 256;
constexpr int rank_limit = 8;

bool is_loss(std::string_view loss) {
    return loss == "mean_squared_error" || loss == "cross_entropy";
}

/// Names become parts of paths ("@model_path/weights/NAME.bin") and of MIL text.
bool is_name(std::string_view name) {
    return !name.empty() && name.size() <= name_limit &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_';
           });
}

/// Checked access to the table of contents.
class Table {
  public:
    explicit Table(std::string_view source) : source_(source) {}

    template <typename... Args>
    [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) const {
        fail(Code::malformed_file, here, "{}: table of contents: {}", source_,
             fmt::format(text, std::forward<Args>(args)...));
    }
    std::string text(const json& object, const char* key) const {
        const auto found = object.find(key);
        if (found == object.end() || !found->is_string()) {
            refuse("'{}' is missing or no text", key);
        }
        return found->get<std::string>();
    }
    AneModel::Weight weight(const json& entry) const {
        if (!entry.is_object()) {
            refuse("a weight is no object");
        }
        AneModel::Weight made;
        made.name = text(entry, "name");
        if (!is_name(made.name)) {
            refuse("a weight's name is not 1 to {} of a-z, A-Z, 0-9 and _", name_limit);
        }
        const std::string dtype = text(entry, "dtype");
        if (dtype != "fp16" && dtype != "fp32") {
            refuse("weight '{}' is neither fp16 nor fp32", made.name);
        }
        made.dtype = dtype == "fp16" ? DType::fp16 : DType::fp32;
        const auto trained = entry.find("trained");
        if (trained == entry.end() || !trained->is_boolean()) {
            refuse("'trained' of weight '{}' is missing or no true or false", made.name);
        }
        made.trained = trained->get<bool>();
        const auto shape = entry.find("shape");
        if (shape == entry.end() || !shape->is_array() || shape->size() > rank_limit) {
            refuse("'shape' of weight '{}' is missing or no list of at most {} sizes", made.name,
                   rank_limit);
        }
        std::vector<std::int64_t> sizes;
        for (const json& size : *shape) {
            if (!size.is_number_integer() || size.get<std::int64_t>() < 1 ||
                size.get<std::int64_t>() > (std::int64_t{1} << 32)) {
                refuse("a size of weight '{}' is no whole number from 1 to 2^32", made.name);
            }
            sizes.push_back(size.get<std::int64_t>());
        }
        made.shape = Shape(std::move(sizes));
        return made;
    }

  private:
    std::string source_;
};

std::vector<float> floats(std::span<const std::byte> bytes, DType dtype) {
    std::vector<float> values(bytes.size() / size_in_memory(dtype));
    if (dtype == DType::fp32) {
        std::memcpy(values.data(), bytes.data(), bytes.size());
        return values;
    }
    std::vector<fp16> halves(values.size());
    std::memcpy(halves.data(), bytes.data(), bytes.size());
    std::transform(halves.begin(), halves.end(), values.begin(),
                   [](fp16 h) { return to_float(h); });
    return values;
}

}  // namespace

bool is_ane_model(std::span<const std::byte> bytes) {
    try {
        const BlobRecord first = read_blob_record(bytes, "", first_record);
        const auto text = bytes.subspan(static_cast<std::size_t>(first.data_offset),
                                        static_cast<std::size_t>(first.bytes));
        const std::string_view seen(reinterpret_cast<const char*>(text.data()),
                                    std::min<std::size_t>(text.size(), 4096));
        return first.dtype == DType::uint8 && seen.find(format) != std::string_view::npos;
    } catch (const Error&) {
        return false;
    }
}

AneModel parse_ane_model(std::span<const std::byte> bytes, std::string_view source) {
    const BlobRecord contents = read_blob_record(bytes, source, first_record);
    if (contents.dtype != DType::uint8) {
        fail(Code::malformed_file, here,
             "{}: the first record holds {}, not the table of contents of a .ane model (uint8); is "
             "this a plain weight blob? `pome convert PROGRAM.mil MODEL.ane --weights DIR` makes a "
             "model of a program and its weights",
             source, name(contents.dtype));
    }
    constexpr int depth = 8;
    const json object =
        parse_json(ByteReader(bytes, here, source), contents.data_offset, contents.bytes, depth);
    const Table table(source);
    if (!object.is_object() || table.text(object, "format") != format) {
        table.refuse("'format' is not \"{}\"", format);
    }
    const auto found = object.find("version");
    if (found == object.end() || !found->is_number_integer() || *found != version) {
        table.refuse("'version' is not {}; a newer program may have written it", version);
    }
    AneModel model;
    model.program = table.text(object, "program");
    model.loss = table.text(object, "loss");
    if (!is_loss(model.loss)) {
        table.refuse("'loss' is neither \"mean_squared_error\" nor \"cross_entropy\"");
    }
    const auto weights = object.find("weights");
    if (weights == object.end() || !weights->is_array()) {
        table.refuse("'weights' is missing or no list");
    }
    std::set<std::string> names;
    std::uint64_t end = contents.data_offset + contents.bytes;
    for (const json& entry : *weights) {
        AneModel::Weight weight = table.weight(entry);
        if (!names.insert(weight.name).second) {
            table.refuse("two weights are named '{}'", weight.name);
        }
        const std::uint64_t at = (end + first_record - 1) / first_record * first_record;
        std::int64_t elements = 0;
        try {
            elements = weight.shape.elements();
        } catch (const Error&) {
            table.refuse("weight '{}' has more than 2^62 elements", weight.name);
        }
        const auto data = read_blob(bytes, source, at, weight.dtype, elements);
        weight.values = floats(data, weight.dtype);
        const BlobRecord record = read_blob_record(bytes, source, at);
        end = record.data_offset + record.bytes;
        model.weights.push_back(std::move(weight));
    }
    if (end != bytes.size()) {
        fail(Code::malformed_file, here,
             "{}: {} bytes follow the last weight of the table of contents (at byte {})", source,
             bytes.size() - end, end);
    }
    return model;
}

std::vector<std::byte> ane_model_bytes(const AneModel& model) {
    if (!is_loss(model.loss)) {
        fail(Code::invalid_argument, here,
             "loss '{}' is neither mean_squared_error nor cross_entropy", model.loss);
    }
    json weights = json::array();
    std::set<std::string> names;
    for (const auto& weight : model.weights) {
        const auto is_static = weight.shape.is_static() && weight.shape.rank() <= rank_limit;
        if (!is_name(weight.name) || !names.insert(weight.name).second || !is_static ||
            (weight.dtype != DType::fp16 && weight.dtype != DType::fp32) ||
            static_cast<std::int64_t>(weight.values.size()) != weight.shape.elements()) {
            fail(Code::invalid_argument, here,
                 "weight '{}' ({} {}, {} values): a weight has a name of its own of letters, "
                 "digits and _, is fp16 or fp32, and its values fill its shape",
                 weight.name, name(weight.dtype), weight.shape.text(), weight.values.size());
        }
        weights.push_back({{"name", weight.name},
                           {"dtype", std::string(name(weight.dtype))},
                           {"shape", weight.shape.sizes()},
                           {"trained", weight.trained}});
    }
    const std::string contents = json{
        {"format", std::string(format)},
        {"version", version},
        {"loss", model.loss},
        {"program", model.program},
        {"weights", weights}}.dump(-1, ' ', false, json::error_handler_t::replace);
    BlobWriter writer;
    writer.add(DType::uint8, std::as_bytes(std::span(contents)));
    for (const auto& weight : model.weights) {
        if (weight.dtype == DType::fp32) {
            writer.add(DType::fp32, std::as_bytes(std::span(weight.values)));
            continue;
        }
        std::vector<fp16> halves(weight.values.size());
        std::transform(weight.values.begin(), weight.values.end(), halves.begin(),
                       [](float v) { return to_fp16(v, Rounding::nearest_even); });
        writer.add(DType::fp16, std::as_bytes(std::span(halves)));
    }
    return writer.take();
}

void write_ane_model(const std::filesystem::path& path, const AneModel& model) {
    write_file_atomic(path, ane_model_bytes(model));
}

}  // namespace pome::formats
