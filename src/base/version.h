#pragma once

namespace pome {

/// Of this build: CMakeLists.txt's project version.
inline constexpr const char* version = POME_VERSION;

}  // namespace pome
