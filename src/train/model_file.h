#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/safetensors.h"
#include "formats/tensors.h"
#include "train/parameters.h"

namespace pome::train {

/// A model read from disk.
struct LoadedModel {
    model::Architecture architecture;
    ParameterSet weights;
    std::string kind;                ///< of the file, in words: "llama2.c model"
    std::vector<std::string> notes;  ///< sentences: what differs from the file, what is left behind
};

/// Reads a llama2.c .bin, a BLZT checkpoint (known by its first bytes; see blzt_model.h), one of
/// our .safetensors files, a checkpoint directory or a run directory (its best checkpoint; when it
/// has none yet, its newest). Throws Error{malformed_file, checkpoint_mismatch} naming the tensor
/// that does not fit.
LoadedModel load_model(const std::filesystem::path& path);

/// A model of that config with its parameters taken from tensors of their names.
LoadedModel from_tensors(const model::ModelConfig& config, const formats::NamedTensors& tensors,
                         std::string_view source);

/// Throws Error{checkpoint_mismatch} unless a model read from `source` is the one that a run's
/// config describes, but for the number of positions; names each key that differs and both values.
void expect_same_model(const model::ModelConfig& file, const model::ModelConfig& run,
                       std::string_view source);

/// What a checkpoint's model.safetensors carries: the model's sizes as metadata.
std::map<std::string, std::string, std::less<>> model_metadata(const model::ModelConfig& config);
model::ModelConfig config_from_metadata(
    const std::map<std::string, std::string, std::less<>>& metadata, const std::string& source);

/// Every parameter that the set holds as a tensor to be written, its name prefixed; the set must
/// outlive the views.
std::vector<formats::TensorView> tensor_views(const ParameterSet& set, const std::string& prefix);
/// Fills what a set holds from tensors of those names. Throws Error{checkpoint_mismatch}.
void fill(ParameterSet& set, const formats::SafetensorsFile& file, const std::string& prefix,
          const std::string& source);

/// Writes a model as what the path's suffix says: .bin a llama2.c file (version 0), .safetensors
/// one of ours. Returns sentences: what readers of that file will not know. Throws
/// Error{invalid_argument} for another suffix, Error{unsupported} for a model that the format has
/// no place for.
std::vector<std::string> save_model(const LoadedModel& model, const std::filesystem::path& path);

}  // namespace pome::train
