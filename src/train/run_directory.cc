#include "train/run_directory.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"

namespace pome::train {
namespace {

constexpr std::string_view numbered = "step_";

}  // namespace

Config run_config(const std::filesystem::path& run) {
    const auto path = run / "config.toml";
    if (!std::filesystem::exists(path)) {
        fail(Code::io, "train", "{}: no run directory: it has no config.toml", run.string());
    }
    return parse_config(read_text(path), path.string(), {}, run);
}

std::string checkpoint_name(std::int64_t step) {
    return fmt::format("{}{:08}", numbered, step);
}

std::vector<std::filesystem::path> numbered_checkpoints(const std::filesystem::path& run) {
    std::vector<std::filesystem::path> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(run / "checkpoints", error)) {
        if (entry.path().filename().string().starts_with(numbered)) {
            found.push_back(entry.path());
        }
    }
    // Numbers of more than eight digits are longer, not greater, as text.
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
        const std::string left = a.filename().string(), right = b.filename().string();
        return left.size() != right.size() ? left.size() > right.size() : left > right;
    });
    return found;
}

}  // namespace pome::train
