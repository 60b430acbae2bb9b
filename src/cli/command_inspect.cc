#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "formats/ane_model.h"
#include "formats/blzt.h"
#include "formats/checkpoint.h"
#include "formats/llama2c_model.h"
#include "formats/npy.h"
#include "formats/tiny_checkpoint.h"
#include "formats/token_shard.h"
#include "formats/tokenizer.h"
#include "formats/weight_blob.h"
#include "formats/weight_blob_repair.h"
#include "mil/text.h"
#include "mil/verifier.h"
#include "train/trainable_model.h"

namespace pome::cli {
namespace {

using nlohmann::json;
using Path = std::filesystem::path;

json tensors_of(const formats::SafetensorsFile& file) {
    json list = json::object();
    for (const auto& [key, tensor] : file.tensors()) {
        list[key] = {{"dtype", std::string(name(tensor.dtype))}, {"shape", tensor.shape.sizes()}};
    }
    return list;
}

json program(const Path& path) {
    const auto read = mil::read(read_text(path), path.string());
    const auto verified = mil::verify(read);
    json functions = json::object();
    for (const auto& function : read.functions) {
        json parameters = json::object();
        for (const auto& parameter : function.parameters) {
            parameters[parameter.name] = parameter.type.text();
        }
        functions[function.name] = {{"opset", function.opset},
                                    {"parameters", parameters},
                                    {"operations", function.operations.size()},
                                    {"outputs", function.outputs}};
    }
    return {{"kind", "mil program"},
            {"version", read.version},
            {"functions", functions},
            {"unknown_ops", verified.unknown_ops}};
}

json safetensors(const Path& path) {
    const formats::SafetensorsFile file(path);
    return {{"kind", "safetensors"}, {"metadata", file.metadata()}, {"tensors", tensors_of(file)}};
}

json checkpoint(const Path& path) {
    const formats::Checkpoint read(path);
    return {{"kind", "checkpoint"},
            {"state", read.state()},
            {"metadata", read.model().metadata()},
            {"tensors", tensors_of(read.model())}};
}

json array(const Path& path) {
    const auto read = formats::read_npy(path);
    return {{"kind", "numpy array"},
            {"dtype", std::string(name(read.dtype))},
            {"shape", read.shape.sizes()}};
}

json blob(std::span<const std::byte> bytes, const Path& path) {
    json records = json::array();
    for (const auto& record : formats::list_blob_records(bytes, path.string())) {
        records.push_back({{"offset", record.offset},
                           {"dtype", std::string(name(record.dtype))},
                           {"bytes", record.bytes}});
    }
    return {{"kind", "weight blob"}, {"records", records}};
}

json ane_model(std::span<const std::byte> bytes, const Path& path) {
    const auto model = formats::parse_ane_model(bytes, path.string());
    train::trainable_from(model, path.string());  // program and weights fit, or this says why not
    json weights = json::object();
    for (const auto& weight : model.weights) {
        weights[weight.name] = {{"dtype", std::string(name(weight.dtype))},
                                {"shape", weight.shape.sizes()},
                                {"trained", weight.trained}};
    }
    return {{"kind", ".ane model"},
            {"loss", model.loss},
            {"weights", weights},
            {"program", model.program}};
}

json llama(const Path& path) {
    const auto m = formats::read_llama2c(path);
    return {{"kind", "llama2.c model"},   {"width", m.width},       {"hidden", m.hidden},
            {"layers", m.layers},         {"heads", m.heads},       {"kv_heads", m.kv_heads},
            {"vocabulary", m.vocabulary}, {"sequence", m.sequence}, {"tied_head", m.tied_head}};
}

json blzt(std::span<const std::byte> bytes, const Path& path) {
    const auto c = formats::parse_blzt(bytes, path.string());
    return {{"kind", "BLZT checkpoint"},
            {"version", c.version},
            {"width", c.width},
            {"hidden", c.hidden},
            {"layers", c.layers},
            {"heads", c.heads},
            {"kv_heads", c.kv_heads},
            {"head_size", c.head_size},
            {"vocabulary", c.vocabulary},
            {"sequence", c.sequence},
            {"step", c.step},
            {"total_steps", c.total_steps},
            {"adam_updates", c.adam_updates},
            {"learning_rate", c.learning_rate},
            {"loss", c.loss}};
}

json tiny(std::span<const std::byte> bytes, const Path& path) {
    const auto c = formats::parse_tiny_checkpoint(bytes, path.string());
    return {{"kind", "tiny_train checkpoint"},  {"width", c.width}, {"hidden", c.hidden},
            {"positions", c.positions},         {"step", c.step},   {"total_steps", c.total_steps},
            {"learning_rate", c.learning_rate}, {"loss", c.loss}};
}

/// Files named .bin may be anything: the first kind that reads without fault; otherwise the fault
/// of the likeliest.
json binary(const Path& path) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    const auto starts = [&](std::size_t at, std::initializer_list<int> values) {
        if (bytes.size() < at + values.size()) {
            return false;
        }
        for (const int value : values) {
            if (bytes[at++] != static_cast<std::byte>(value)) {
                return false;
            }
        }
        return true;
    };
    if (formats::is_ane_model(bytes)) {
        return ane_model(bytes, path);
    }
    if (const auto found = formats::diagnose_blob(bytes); found.repairable) {
        fail(Code::malformed_file, "cli.inspect",
             "{}: {}; `pome convert {} REPAIRED.bin` writes the {} bytes of data in a sound "
             "container",
             path.string(), found.explanation, path.string(), found.data_bytes);
    }
    if (starts(4, {2, 0, 0, 0}) && starts(8, {0, 0, 0, 0, 0, 0, 0, 0})) {
        return blob(bytes, path);
    }
    if (formats::is_blzt(bytes)) {
        return blzt(bytes, path);
    }
    try {
        return llama(path);
    } catch (const Error&) {
    }
    try {
        return tiny(bytes, path);
    } catch (const Error&) {
    }
    try {
        const auto tokenizer = formats::Tokenizer::parse_llama2c(bytes, path.string());
        return {{"kind", "llama2.c tokenizer"}, {"vocabulary", tokenizer.vocabulary()}};
    } catch (const Error&) {
    }
    const formats::TokenShard shard(path);
    std::int32_t largest = 0;
    for (std::int64_t i = 0; i < shard.size(); ++i) {
        largest = std::max(largest, shard[i]);
    }
    return {{"kind", "token file"}, {"tokens", shard.size()}, {"largest_id", largest}};
}

json inspect(const Path& path) {
    if (std::filesystem::is_directory(path)) {
        return checkpoint(path);
    }
    const auto extension = path.extension().string();
    if (extension == ".mil") {
        return program(path);
    }
    if (extension == ".safetensors") {
        return safetensors(path);
    }
    if (extension == ".npy") {
        return array(path);
    }
    if (extension == ".model") {
        return {{"kind", "SentencePiece tokenizer"},
                {"vocabulary", formats::Tokenizer::read(path).vocabulary()}};
    }
    return binary(path);
}

}  // namespace

void add_inspect(CLI::App& app) {
    struct Options {
        std::string path;
        bool json = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(
        "inspect", "Check a file and show what it holds; status 1 when it is malformed");
    command
        ->add_option("file", options->path,
                     "MIL program, weight blob, .ane model, model, tokenizer, tokens, safetensors, "
                     ".npy or checkpoint")
        ->required()
        ->check(CLI::ExistingPath);
    command->add_flag("--json", options->json, "compact JSON, for programs");
    command->footer("Example:\n  pome inspect stories260K.bin");
    command->callback(
        [options] { fmt::print("{}\n", inspect(options->path).dump(options->json ? -1 : 2)); });
}

}  // namespace pome::cli
