#include "base/data_directory.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.h"

namespace pome {
namespace {

std::filesystem::path absolute_or_empty(const char* text) {
    const std::filesystem::path path = text == nullptr ? "" : text;
    return path.is_absolute() ? path : std::filesystem::path();
}

}  // namespace

std::filesystem::path home_directory() {
    std::filesystem::path home = absolute_or_empty(std::getenv("HOME"));
    if (home.empty()) {
        const passwd* user = getpwuid(getuid());
        home = absolute_or_empty(user == nullptr ? nullptr : user->pw_dir);
    }
    return home;
}

std::filesystem::path user_data_directory() {
#ifndef __APPLE__
    if (const auto chosen = absolute_or_empty(std::getenv("XDG_DATA_HOME")); !chosen.empty()) {
        return chosen / "pome";
    }
    constexpr const char* below_home = ".local/share/pome";
#else
    constexpr const char* below_home = "Library/Application Support/pome";
#endif
    const std::filesystem::path home = home_directory();
    if (home.empty()) {
        fail(Code::io, "base.data_directory",
             "there is no home directory: set HOME{} to an absolute path",
#ifdef __APPLE__
             ""
#else
             " or XDG_DATA_HOME"
#endif
        );
    }
    return home / below_home;
}

}  // namespace pome
