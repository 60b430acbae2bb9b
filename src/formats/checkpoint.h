#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "formats/safetensors.h"

namespace pome::formats {

/// Writes a checkpoint: a directory with model.safetensors, optimizer.safetensors and state.json,
/// which holds `state` (an object without the key "files") and, under "files", the length and
/// checksum of both others. It appears whole or not at all: written beside under a temporary name,
/// flushed, renamed. A checkpoint of that name is replaced: it stands aside for the moment of the
/// renames, and sweep_temporary_checkpoints puts it back if the writer died in that moment. Throws
/// Error{io}, Error{invalid_argument}; then what was at `directory` stays.
void write_checkpoint(const std::filesystem::path& directory, std::span<const TensorView> model,
                      std::span<const TensorView> optimizer, const nlohmann::json& state,
                      const std::map<std::string, std::string, std::less<>>& model_metadata);

/// A checkpoint, checked as a whole before anything of it is used: lengths, checksums, both tensor
/// files, the state. Throws Error{malformed_file} naming the file and what is wrong with it,
/// Error{io} when one is missing.
class Checkpoint {
  public:
    explicit Checkpoint(const std::filesystem::path& directory);
    ~Checkpoint();
    Checkpoint(Checkpoint&&) noexcept;

    const SafetensorsFile& model() const { return *model_; }
    const SafetensorsFile& optimizer() const { return *optimizer_; }
    /// What the writer gave, and "files".
    const nlohmann::json& state() const { return *state_; }

  private:
    std::unique_ptr<SafetensorsFile> model_, optimizer_;
    std::unique_ptr<nlohmann::json> state_;
};

/// The text of a state.json: an object whose "files" has a whole number "bytes" and a text
/// "checksum" for both tensor files. Throws Error{malformed_file}.
nlohmann::json parse_checkpoint_state(std::span<const std::byte> bytes, std::string_view source);

/// The state.json of a checkpoint alone; the tensor files are not looked at. Throws
/// Error{malformed_file}, Error{io}.
nlohmann::json read_checkpoint_state(const std::filesystem::path& directory);

/// Removes a checkpoint: at no moment is half of it there under its name. One that cannot be
/// removed stays.
void remove_checkpoint(const std::filesystem::path& directory);

/// Removes what crashed writes left in the folder that holds checkpoints. No checkpoint may be
/// being written there.
void sweep_temporary_checkpoints(const std::filesystem::path& folder);

}  // namespace pome::formats
