#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "formats/safetensors.h"

namespace pome::formats {

/// Writes a checkpoint: a directory with model.safetensors, optimizer.safetensors and state.json,
/// which holds `state` and the length and checksum of both others. It appears whole or not at all:
/// written beside under a temporary name, flushed, renamed. An existing checkpoint of that name is
/// replaced. Throws Error{io}.
void write_checkpoint(const std::filesystem::path& directory, std::span<const TensorView> model,
                      std::span<const TensorView> optimizer, const nlohmann::json& state,
                      const std::map<std::string, std::string, std::less<>>& model_metadata);

/// A checkpoint, checked as a whole before anything of it is used: lengths, checksums, both tensor
/// files, the state. Throws Error{malformed_file} naming the file and what is wrong with it.
class Checkpoint {
  public:
    explicit Checkpoint(const std::filesystem::path& directory);
    ~Checkpoint();
    Checkpoint(Checkpoint&&) noexcept;

    const SafetensorsFile& model() const { return *model_; }
    const SafetensorsFile& optimizer() const { return *optimizer_; }
    const nlohmann::json& state() const { return *state_; }

  private:
    std::unique_ptr<SafetensorsFile> model_, optimizer_;
    std::unique_ptr<nlohmann::json> state_;
};

/// Removes what crashed writes left in the folder that holds checkpoints.
void sweep_temporary_checkpoints(const std::filesystem::path& folder);

}  // namespace pome::formats
