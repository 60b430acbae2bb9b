#pragma once

#include <filesystem>

namespace pome {

/// Where what belongs to the user and to no run is kept, whether it is there yet or not:
/// $XDG_DATA_HOME/pome or ~/.local/share/pome, on macOS ~/Library/Application Support/pome. A
/// relative XDG_DATA_HOME is not looked at, as its specification asks. Throws Error{io} when the
/// user has no home.
std::filesystem::path user_data_directory();

/// $HOME, or what the system's user records say; empty when neither is an absolute path.
std::filesystem::path home_directory();

}  // namespace pome
