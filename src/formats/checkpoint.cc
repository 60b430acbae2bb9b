#include "formats/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/bytes.h"
#include "base/crash_point.h"
#include "formats/json_text.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.checkpoint";
constexpr std::string_view temporary_prefix = ".tmp-";
constexpr std::string_view replaced_prefix = ".replaced-";
constexpr std::string_view state_name = "state.json";
constexpr std::array<const char*, 2> sealed_names{"model.safetensors", "optimizer.safetensors"};
constexpr std::uint64_t longest_state = std::uint64_t{1} << 28;
constexpr int deepest_state = 64;

/// FNV-1a over eight bytes at a time: finds torn and swapped files, not forgeries. The shift brings
/// high bits, which a product never moves down, to the low ones.
/// Goes on with the hash of what came before, a multiple of eight bytes.
std::uint64_t checksum(std::span<const std::byte> bytes, std::uint64_t hash) {
    constexpr std::uint64_t prime = 0x100000001B3U;
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + i, 8);
        hash = (hash ^ word) * prime;
        hash ^= hash >> 29;
    }
    for (; i < bytes.size(); ++i) {
        hash = (hash ^ std::to_integer<std::uint64_t>(bytes[i])) * prime;
    }
    return hash;
}

struct Seal {
    std::uint64_t bytes = 0;
    std::string checksum;
};

/// Reads a file some megabytes at a time: it does not come to lie in memory beside the tensors that
/// were written from there, or that will be read from it.
Seal seal_of(const std::filesystem::path& file) {
    constexpr std::size_t piece = std::size_t{4} << 20;
    const MappedFile mapped(file);
    std::uint64_t hash = 0xCBF29CE484222325U;
    for (auto left = mapped.bytes(); !left.empty();) {
        const auto now = left.first(std::min(piece, left.size()));
        hash = checksum(now, hash);
        mapped.forget(now);
        left = left.subspan(now.size());
    }
    return {mapped.bytes().size(), fmt::format("{:016x}", hash)};
}

void check_seal(const std::filesystem::path& file, const nlohmann::json& state) {
    const auto& entry = state.at("files").at(file.filename().string());
    const Seal wanted{entry.at("bytes").get<std::uint64_t>(),
                      entry.at("checksum").get<std::string>()};
    const auto size = MappedFile(file).bytes().size();
    if (size != wanted.bytes) {
        fail(Code::malformed_file, here,
             "{}: {} bytes, {} says {}; truncated, or from another checkpoint", file.string(), size,
             state_name, wanted.bytes);
    }
    const Seal found = seal_of(file);
    if (found.checksum != wanted.checksum) {
        fail(Code::malformed_file, here,
             "{}: checksum {}, {} says {}; damaged, or from another checkpoint", file.string(),
             found.checksum, state_name, wanted.checksum);
    }
}

[[noreturn]] void fail_io(const std::filesystem::path& path, std::string_view doing,
                          const std::error_code& error) {
    fail(Code::io, here, "{}: cannot {}: {}", path.string(), doing, error.message());
}

std::string sealed_state(const std::filesystem::path& work, nlohmann::json state) {
    for (const char* name : sealed_names) {
        const Seal seal = seal_of(work / name);
        state["files"][name] = {{"bytes", seal.bytes}, {"checksum", seal.checksum}};
    }
    try {
        return state.dump(1) + "\n";
    } catch (const nlohmann::json::exception&) {
        fail(Code::invalid_argument, here, "the state has text that is no UTF-8");
    }
}

/// Renames `work` to `directory`; one of that name stands aside until the new one is in its place.
void put_in_place(const std::filesystem::path& work, const std::filesystem::path& directory,
                  const std::filesystem::path& folder) {
    const auto aside = folder / (std::string(replaced_prefix) + directory.filename().string());
    std::error_code error, ignored;
    const bool replaces = std::filesystem::exists(directory);
    if (replaces) {
        std::filesystem::remove_all(aside, ignored);
        std::filesystem::rename(directory, aside, error);
        if (error) {
            fail_io(directory, "replace the checkpoint", error);
        }
        crash_point("checkpoint.aside");
    }
    std::filesystem::rename(work, directory, error);
    if (error) {
        if (replaces) {
            std::filesystem::rename(aside, directory, ignored);
        }
        fail_io(directory, "put the checkpoint in place", error);
    }
    crash_point("checkpoint.in_place");
    sync_directory(folder);
    crash_point("checkpoint.synced");
    std::filesystem::remove_all(aside, ignored);
    crash_point("checkpoint.done");
}

/// `directory` without dots and a trailing slash: its last part is the checkpoint's name.
std::filesystem::path named(const std::filesystem::path& directory) {
    auto path = std::filesystem::absolute(directory).lexically_normal();
    if (!path.has_filename()) {
        path = path.parent_path();
    }
    return path;
}

}  // namespace

void write_checkpoint(const std::filesystem::path& directory, std::span<const TensorView> model,
                      std::span<const TensorView> optimizer, const nlohmann::json& state,
                      const std::map<std::string, std::string, std::less<>>& model_metadata) {
    if (!(state.is_object() || state.is_null()) || state.contains("files")) {
        fail(Code::invalid_argument, here,
             "{}: the state must be an object without the key 'files'", directory.string());
    }
    const auto target = named(directory);
    const auto folder = target.parent_path();
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) {
        fail_io(folder, "create", error);
    }
    const auto pattern = fmt::format("{}{}-XXXXXX", temporary_prefix, target.filename().string());
    std::string temporary = (folder / pattern).string();
    if (::mkdtemp(temporary.data()) == nullptr) {
        fail_io(target, "write a checkpoint", {errno, std::generic_category()});
    }
    const std::filesystem::path work = temporary;
    try {
        crash_point("checkpoint.directory");
        write_safetensors(work / sealed_names[0], model, model_metadata);
        crash_point("checkpoint.model");
        write_safetensors(work / sealed_names[1], optimizer, {});
        crash_point("checkpoint.optimizer");
        write_file_atomic(work / state_name, sealed_state(work, state));
        std::filesystem::permissions(work, std::filesystem::perms(0755));
        crash_point("checkpoint.state");
        sync_directory(work);
        crash_point("checkpoint.flushed");
        put_in_place(work, target, folder);
    } catch (...) {
        std::filesystem::remove_all(work, error);
        throw;
    }
}

nlohmann::json parse_checkpoint_state(std::span<const std::byte> bytes, std::string_view source) {
    const ByteReader in(bytes, here, source);
    nlohmann::json state = parse_json(in, 0, in.size(), deepest_state);
    if (!state.is_object()) {
        fail(Code::malformed_file, here, "{}: no JSON object", source);
    }
    const auto files = state.find("files");
    for (const char* name : sealed_names) {
        if (files == state.end() || !files->is_object() || !files->contains(name)) {
            in.fail_at(0, "'files' does not list '{}'", name);
        }
        const auto& entry = (*files)[name];
        if (!entry.is_object() || !entry.contains("bytes") ||
            !entry["bytes"].is_number_unsigned() || !entry.contains("checksum") ||
            !entry["checksum"].is_string()) {
            in.fail_at(0, "'files' lists '{}' without a whole number of bytes and a checksum",
                       name);
        }
    }
    return state;
}

nlohmann::json read_checkpoint_state(const std::filesystem::path& directory) {
    const auto state = read_file(directory / state_name, longest_state);
    return parse_checkpoint_state(state, (directory / state_name).string());
}

Checkpoint::Checkpoint(const std::filesystem::path& directory) {
    state_ = std::make_unique<nlohmann::json>(read_checkpoint_state(directory));
    for (const char* name : sealed_names) {
        check_seal(directory / name, *state_);
    }
    model_ = std::make_unique<SafetensorsFile>(directory / sealed_names[0]);
    optimizer_ = std::make_unique<SafetensorsFile>(directory / sealed_names[1]);
}

Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;

void remove_checkpoint(const std::filesystem::path& directory) {
    const auto target = named(directory);
    const auto doomed =
        target.parent_path() / fmt::format("{}{}", temporary_prefix, target.filename().string());
    std::error_code ignored;
    crash_point("checkpoint.remove");
    // Half a checkpoint must not bear a checkpoint's name.
    std::filesystem::remove_all(doomed, ignored);
    std::filesystem::rename(target, doomed, ignored);
    crash_point("checkpoint.doomed");
    std::filesystem::remove_all(doomed, ignored);
    crash_point("checkpoint.removed");
}

void sweep_temporary_checkpoints(const std::filesystem::path& folder) {
    std::error_code error;
    std::vector<std::filesystem::path> entries;  // the folder changes while it is swept
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        entries.push_back(entry.path());
    }
    for (const auto& entry : entries) {
        const auto name = entry.filename().string();
        if (name.starts_with(temporary_prefix)) {
            std::filesystem::remove_all(entry, error);
        }
        if (!name.starts_with(replaced_prefix)) {
            continue;
        }
        // A replaced checkpoint whose successor never arrived is the only copy: put it back.
        const auto place = folder / name.substr(replaced_prefix.size());
        if (std::filesystem::exists(place)) {
            std::filesystem::remove_all(entry, error);
        } else {
            std::filesystem::rename(entry, place, error);
        }
    }
}

}  // namespace pome::formats
