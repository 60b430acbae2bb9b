#include "train/model_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/blzt.h"
#include "formats/checkpoint.h"
#include "formats/llama2c_model.h"
#include "train/blzt_model.h"
#include "train/run_directory.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.model_file";

LoadedModel from_llama2c(const formats::Llama2cModel& file, const std::string& source) {
    model::ModelConfig config;
    config.width = file.width;
    config.hidden = file.hidden;
    config.layers = file.layers;
    config.heads = file.heads;
    config.kv_heads = file.kv_heads;
    config.vocabulary = file.vocabulary;
    config.sequence = file.sequence;
    config.tied_head = file.tied_head;
    LoadedModel loaded = from_tensors(config, file.tensors, source);
    loaded.kind = "llama2.c model";
    return loaded;
}

LoadedModel from_safetensors(const std::filesystem::path& path) {
    const formats::SafetensorsFile file(path);
    const auto config = config_from_metadata(file.metadata(), path.string());
    const auto architecture = model::architecture(config);
    LoadedModel loaded{architecture, ParameterSet(architecture), "safetensors", {}};
    fill(loaded.weights, file, "", path.string());
    return loaded;
}

/// Files without a suffix that says what they are: known by their first bytes.
LoadedModel from_binary(const std::filesystem::path& path) {
    const MappedFile file(path);
    if (!formats::is_blzt(file.bytes())) {
        return from_llama2c(formats::parse_llama2c(file.bytes(), path.string()), path.string());
    }
    const auto checkpoint = formats::parse_blzt(file.bytes(), path.string());
    LoadedModel loaded = from_blzt(checkpoint, path.string());
    loaded.kind = fmt::format("BLZT checkpoint, version {}", checkpoint.version);
    return loaded;
}

/// What readers of a llama2.c file assume of every model.
std::vector<std::string> save_llama2c(const LoadedModel& loaded,
                                      const std::filesystem::path& path) {
    const auto& config = loaded.architecture.config;
    if (config.kind != "llama" || config.rope_base != 10000.0 || config.norm_epsilon != 1e-5) {
        fail(Code::unsupported, here,
             "{}: llama2.c files hold Llama models with RoPE base 10000 and epsilon 1e-5 only",
             path.string());
    }
    formats::Llama2cModel file;
    file.width = config.width, file.hidden = config.hidden, file.layers = config.layers,
    file.heads = config.heads;
    file.kv_heads = config.kv_heads, file.vocabulary = config.vocabulary,
    file.sequence = config.sequence;
    file.tied_head = config.tied_head;
    for (std::size_t i = 0; i < loaded.weights.size(); ++i) {
        const auto values = loaded.weights.values(i);
        file.tensors[loaded.weights.parameter(i).name] = {loaded.weights.parameter(i).shape,
                                                          {values.begin(), values.end()}};
    }
    formats::write_llama2c(path, file);
    if (config.rope) {
        return {};
    }
    return {
        "the model has no rotary positions (model.rope = false), but every reader of llama2.c "
        "files "
        "rotates queries and keys: there it is another function and its text will be worse; train "
        "it on from this file to get used to them, or convert to .safetensors, which keeps that"};
}

}  // namespace

std::map<std::string, std::string, std::less<>> model_metadata(const model::ModelConfig& c) {
    const nlohmann::json json{{"kind", c.kind},
                              {"width", c.width},
                              {"hidden", c.hidden},
                              {"layers", c.layers},
                              {"heads", c.heads},
                              {"kv_heads", c.kv_heads},
                              {"vocabulary", c.vocabulary},
                              {"sequence", c.sequence},
                              {"tied_head", c.tied_head},
                              {"rope", c.rope},
                              {"rope_base", c.rope_base},
                              {"norm_epsilon", c.norm_epsilon}};
    return {{"format", "pome"}, {"model", json.dump()}};
}

model::ModelConfig config_from_metadata(
    const std::map<std::string, std::string, std::less<>>& metadata, const std::string& source) {
    const auto found = metadata.find("model");
    if (found == metadata.end()) {
        fail(Code::malformed_file, here,
             "{}: no model sizes in its metadata; only safetensors written by pome are read",
             source);
    }
    model::ModelConfig c;
    try {
        const auto json = nlohmann::json::parse(found->second);
        c.kind = json.at("kind").get<std::string>();
        c.width = json.at("width").get<std::int64_t>();
        c.hidden = json.at("hidden").get<std::int64_t>();
        c.layers = json.at("layers").get<std::int64_t>();
        c.heads = json.at("heads").get<std::int64_t>();
        c.kv_heads = json.at("kv_heads").get<std::int64_t>();
        c.vocabulary = json.at("vocabulary").get<std::int64_t>();
        c.sequence = json.at("sequence").get<std::int64_t>();
        c.tied_head = json.at("tied_head").get<bool>();
        c.rope = json.value("rope", true);  // files of before it was a choice have none
        c.rope_base = json.at("rope_base").get<double>();
        c.norm_epsilon = json.at("norm_epsilon").get<double>();
    } catch (const nlohmann::json::exception& error) {
        fail(Code::malformed_file, here, "{}: its metadata 'model' is broken: {}", source,
             error.what());
    }
    c.check();
    return c;
}

std::vector<formats::TensorView> tensor_views(const ParameterSet& set, const std::string& prefix) {
    std::vector<formats::TensorView> views;
    for (std::size_t i = 0; i < set.size(); ++i) {
        if (!set.holds(i)) {
            continue;
        }
        views.push_back({prefix + set.parameter(i).name, DType::fp32, set.parameter(i).shape,
                         std::as_bytes(set.values(i))});
    }
    return views;
}

void fill(ParameterSet& set, const formats::SafetensorsFile& file, const std::string& prefix,
          const std::string& source) {
    for (std::size_t i = 0; i < set.size(); ++i) {
        const auto& parameter = set.parameter(i);
        if (!set.holds(i)) {
            continue;
        }
        const std::string name = prefix + parameter.name;
        const auto found = file.tensors().find(name);
        if (found == file.tensors().end()) {
            fail(Code::checkpoint_mismatch, here, "{}: tensor '{}' is missing", source, name);
        }
        if (found->second.shape != parameter.shape || found->second.dtype != DType::fp32) {
            fail(Code::checkpoint_mismatch, here,
                 "{}: tensor '{}' is {} {}, the model needs fp32 {}; probably saved with another "
                 "config: "
                 "compare it with `pome inspect {}`",
                 source, name, pome::name(found->second.dtype), found->second.shape.text(),
                 parameter.shape.text(), source);
        }
        const auto values = set.values(i);
        std::memcpy(values.data(), found->second.bytes.data(), found->second.bytes.size());
        for (std::size_t k = 0; k < values.size(); ++k) {
            if (!std::isfinite(values[k])) {
                fail(Code::malformed_file, here, "{}: {}[{}] is {}: weights must be finite", source,
                     name, k, values[k]);
            }
        }
        file.forget(found->second);
    }
}

LoadedModel load_model(const std::filesystem::path& path) {
    if (std::filesystem::is_directory(path)) {
        std::vector<std::filesystem::path> places{path, path / "checkpoints" / "best"};
        for (const auto& numbered : numbered_checkpoints(path)) {
            places.push_back(numbered);
        }
        for (const auto& inside : places) {
            if (std::filesystem::exists(inside / "state.json")) {
                formats::Checkpoint checked(inside);  // as a whole, before any of it is used
                LoadedModel loaded = from_safetensors(inside / "model.safetensors");
                loaded.kind = "checkpoint";
                return loaded;
            }
        }
        fail(Code::io, here, "{}: neither a checkpoint nor a run directory with one",
             path.string());
    }
    if (path.extension() == ".safetensors") {
        return from_safetensors(path);
    }
    return from_binary(path);
}

LoadedModel from_tensors(const model::ModelConfig& config, const formats::NamedTensors& tensors,
                         std::string_view source) {
    const auto architecture = model::architecture(config);
    LoadedModel loaded{architecture, ParameterSet(architecture), {}, {}};
    for (std::size_t i = 0; i < loaded.weights.size(); ++i) {
        const auto& parameter = loaded.weights.parameter(i);
        const auto found = tensors.find(parameter.name);
        if (found == tensors.end() || found->second.shape != parameter.shape) {
            fail(Code::checkpoint_mismatch, here, "{}: tensor '{}' is {}, the model needs {}",
                 source, parameter.name,
                 found == tensors.end() ? "missing" : found->second.shape.text(),
                 parameter.shape.text());
        }
        std::copy(found->second.values.begin(), found->second.values.end(),
                  loaded.weights.values(i).begin());
    }
    return loaded;
}

void expect_same_model(const model::ModelConfig& file, const model::ModelConfig& run,
                       std::string_view source) {
    std::string differences;
    const auto compare = [&](std::string_view key, const auto& there, const auto& here_value) {
        if (there != here_value) {
            differences +=
                fmt::format("{}{} is {} there and model.{} = {} here",
                            differences.empty() ? "" : ", ", key, there, key, here_value);
        }
    };
    compare("kind", file.kind, run.kind);
    compare("width", file.width, run.width);
    compare("hidden", file.hidden, run.hidden);
    compare("layers", file.layers, run.layers);
    compare("heads", file.heads, run.heads);
    compare("kv_heads", file.kv_heads, run.kv_heads);
    compare("vocabulary", file.vocabulary, run.vocabulary);
    compare("tied_head", file.tied_head, run.tied_head);
    compare("rope", file.rope, run.rope);
    compare("rope_base", file.rope_base, run.rope_base);
    compare("norm_epsilon", file.norm_epsilon, run.norm_epsilon);
    if (!differences.empty()) {
        fail(Code::checkpoint_mismatch, here,
             "{}: another model than the config describes: {}; set the config's keys to the file's",
             source, differences);
    }
}

std::vector<std::string> save_model(const LoadedModel& model, const std::filesystem::path& path) {
    if (path.extension() == ".bin") {
        return save_llama2c(model, path);
    }
    if (path.extension() == ".safetensors") {
        formats::write_safetensors(path, tensor_views(model.weights, ""),
                                   model_metadata(model.architecture.config));
        return {};
    }
    fail(Code::invalid_argument, here,
         "{}: the suffix says what to write: .bin (llama2.c) or .safetensors", path.string());
}

}  // namespace pome::train
