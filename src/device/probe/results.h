#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "device/probe/probe.h"
#include "device/profile.h"

namespace pome::device::probe {

/// Where results come from.
struct Origin {
    std::string device;  ///< "emulator:m4/in-memory"
    std::string system;  ///< the build of the operating system, or "emulated"
    std::string date;    ///< "2026-11-27"
};

/// A report as device/profile.h reads it (read_measured_profile): TOML, one value a line, each with
/// evidence and source. What was left open stands there as comments.
std::string results_text(const Report& report, const Origin& origin);

/// The file that holds the results of a device on a system below the user's data directory. Names
/// are reduced to letters, digits and "._+-"; no two parts of a path come from one name.
std::filesystem::path results_path(const std::filesystem::path& data_directory,
                                   const Origin& origin);

/// The results of an engine: the name of a built-in profile ("m4/in-memory") and a build of macOS
/// ("24D70"). Those of a library that stands in for the system lie elsewhere.
Origin engine_origin(const std::string& profile, const std::string& os_build, bool is_stand_in);

/// The profile of an engine: what was stored for it below the user's data directory over the
/// built-in one, which nothing stored leaves as it is. `file` is then the file. Throws
/// Error{malformed_file} naming a file that is broken, Error{io} for one that cannot be read.
Profile engine_profile(const std::filesystem::path& data_directory, const Origin& origin,
                       std::filesystem::path* file = nullptr);

/// Writes it, whole or not at all, making directories that are missing (mode as the user's mask
/// says). Throws Error{io}.
void save_results(const std::filesystem::path& path, std::string_view text);

}  // namespace pome::device::probe
