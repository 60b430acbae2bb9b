#include "device/apple/program_files.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "mil/text.h"

namespace pome::device::apple {
namespace {

constexpr std::string_view here = "device.apple";
constexpr std::string_view root = "@model_path/";

std::uint64_t hash_of(std::string_view text) {  // FNV-1a
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    return hash;
}

/// "weights/w.bin" of "@model_path/weights/w.bin".
std::string relative(const std::string& path) {
    const std::filesystem::path inside =
        path.starts_with(root) ? path.substr(root.size()) : std::string();
    const bool climbs =
        std::any_of(inside.begin(), inside.end(), [](const auto& part) { return part == ".."; });
    if (inside.empty() || inside.is_absolute() || climbs || !inside.has_filename()) {
        fail(Code::invalid_argument, here,
             "weight file '{}' does not lie below @model_path/, where the engine looks for it",
             path);
    }
    return inside.string();
}

}  // namespace

ProgramFiles program_files(const mil::Package& package, std::string_view function) {
    mil::Program program = package.program;
    std::erase_if(program.functions, [&](const mil::Function& f) { return f.name != function; });
    for (auto& kept : program.functions) {
        kept.name = "main";
    }
    ProgramFiles files;
    files.text = mil::write(program);
    files.text_hash = hash_of(files.text);
    for (const std::string& path : mil::blob_paths(program)) {
        const auto found = package.weights.files().find(path);
        if (found == package.weights.files().end()) {
            fail(Code::invalid_argument, here, "weight file '{}' is not part of the package", path);
        }
        files.weights.emplace(relative(path), found->second);
    }
    files.title =
        fmt::format("{} ({} operations, text {:08x})", function,
                    program.functions.empty() ? 0 : program.functions.front().operations.size(),
                    files.text_hash >> 32);
    return files;
}

}  // namespace pome::device::apple
