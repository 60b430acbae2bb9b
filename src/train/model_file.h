#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "formats/safetensors.h"
#include "train/parameters.h"

namespace pome::train {

/// A model read from disk.
struct LoadedModel {
    model::Architecture architecture;
    ParameterSet weights;
};

/// Reads a llama2.c .bin, one of our .safetensors files, a checkpoint directory or a run directory
/// (its best checkpoint, or its last). Throws Error{malformed_file, checkpoint_mismatch} naming the
/// tensor that does not fit.
LoadedModel load_model(const std::filesystem::path& path);

/// What a checkpoint's model.safetensors carries: the model's sizes as metadata.
std::map<std::string, std::string, std::less<>> model_metadata(const model::ModelConfig& config);
model::ModelConfig config_from_metadata(
    const std::map<std::string, std::string, std::less<>>& metadata, const std::string& source);

/// Every parameter as a tensor to be written, its name prefixed; the set must outlive the views.
std::vector<formats::TensorView> tensor_views(const ParameterSet& set, const std::string& prefix);
/// Fills a set from tensors of those names. Throws Error{checkpoint_mismatch}.
void fill(ParameterSet& set, const formats::SafetensorsFile& file, const std::string& prefix,
          const std::string& source);

/// Writes a model as a llama2.c file.
void export_llama2c(const LoadedModel& model, const std::filesystem::path& path);

}  // namespace pome::train
