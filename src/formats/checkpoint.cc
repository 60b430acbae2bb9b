#include "formats/checkpoint.h"

#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.checkpoint";
constexpr std::string_view temporary_prefix = ".tmp-";

/// FNV-1a over eight bytes at a time: finds torn and swapped files, not forgeries.
std::uint64_t checksum(std::span<const std::byte> bytes) {
    std::uint64_t hash = 0xCBF29CE484222325U;
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + i, 8);
        hash = (hash ^ word) * 0x100000001B3U;
        hash ^= hash >> 29;
    }
    for (; i < bytes.size(); ++i) {
        hash = (hash ^ std::to_integer<std::uint64_t>(bytes[i])) * 0x100000001B3U;
    }
    return hash;
}

nlohmann::json seal(const std::filesystem::path& file) {
    const MappedFile mapped(file);
    return {{"bytes", mapped.bytes().size()},
            {"checksum", fmt::format("{:016x}", checksum(mapped.bytes()))}};
}

void check_seal(const std::filesystem::path& file, const nlohmann::json& state) {
    const auto name = file.filename().string();
    const auto files = state.find("files");
    if (files == state.end() || !files->is_object() || !files->contains(name)) {
        fail(Code::malformed_file, here, "{}: state.json does not list '{}'",
             file.parent_path().string(), name);
    }
    const nlohmann::json found = seal(file);
    if (found != (*files)[name]) {
        fail(Code::malformed_file, here,
             "{}: {} bytes with checksum {}, state.json says {} with {}; damaged, or from another "
             "checkpoint",
             file.string(), found["bytes"].dump(), found["checksum"].dump(),
             (*files)[name].value("bytes", nlohmann::json()).dump(),
             (*files)[name].value("checksum", nlohmann::json()).dump());
    }
}

}  // namespace

void write_checkpoint(const std::filesystem::path& directory, std::span<const TensorView> model,
                      std::span<const TensorView> optimizer, const nlohmann::json& state,
                      const std::map<std::string, std::string, std::less<>>& model_metadata) {
    const auto folder = directory.parent_path();
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) {
        fail(Code::io, here, "{}: cannot create: {}", folder.string(), error.message());
    }
    std::string temporary =
        (folder / fmt::format("{}{}-XXXXXX", temporary_prefix, directory.filename().string()))
            .string();
    if (::mkdtemp(temporary.data()) == nullptr) {
        fail(Code::io, here, "{}: cannot write a checkpoint: {}", folder.string(),
             std::strerror(errno));
    }
    const std::filesystem::path work = temporary;
    try {
        write_safetensors(work / "model.safetensors", model, model_metadata);
        write_safetensors(work / "optimizer.safetensors", optimizer, {});
        nlohmann::json sealed = state;
        for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
            sealed["files"][name] = seal(work / name);
        }
        write_file_atomic(work / "state.json", sealed.dump(1) + "\n");
        sync_directory(work);
    } catch (...) {
        std::filesystem::remove_all(work, error);
        throw;
    }
    if (std::filesystem::exists(
            directory)) {  // kept under a temporary name until the new one stands
        const auto old =
            folder / fmt::format("{}old-{}", temporary_prefix, directory.filename().string());
        std::filesystem::remove_all(old, error);
        std::filesystem::rename(directory, old, error);
    }
    std::filesystem::rename(work, directory, error);
    if (error) {
        fail(Code::io, here, "{}: cannot put the checkpoint in place: {}", directory.string(),
             error.message());
    }
    sync_directory(folder);
    std::filesystem::remove_all(
        folder / fmt::format("{}old-{}", temporary_prefix, directory.filename().string()), error);
}

Checkpoint::Checkpoint(const std::filesystem::path& directory) {
    const auto text = read_text(directory / "state.json");
    state_ = std::make_unique<nlohmann::json>(nlohmann::json::parse(text, nullptr, false));
    if (!state_->is_object()) {
        fail(Code::malformed_file, here, "{}: no JSON object", (directory / "state.json").string());
    }
    check_seal(directory / "model.safetensors", *state_);
    check_seal(directory / "optimizer.safetensors", *state_);
    model_ = std::make_unique<SafetensorsFile>(directory / "model.safetensors");
    optimizer_ = std::make_unique<SafetensorsFile>(directory / "optimizer.safetensors");
}

Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;

void sweep_temporary_checkpoints(const std::filesystem::path& folder) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        const auto name = entry.path().filename().string();
        // A replaced checkpoint whose successor never arrived is the only copy: put it back.
        const std::string old = std::string(temporary_prefix) + "old-";
        if (name.starts_with(old) && !std::filesystem::exists(folder / name.substr(old.size()))) {
            std::filesystem::rename(entry.path(), folder / name.substr(old.size()), error);
        } else if (name.starts_with(temporary_prefix)) {
            std::filesystem::remove_all(entry.path(), error);
        }
    }
}

}  // namespace pome::formats
