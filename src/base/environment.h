#pragma once

#include <string_view>

namespace pome {

/// An environment variable that says on or off; on where it is not set. Throws
/// Error{invalid_argument} at `where` for anything else.
bool environment_switch(const char* variable, std::string_view where);

}  // namespace pome
