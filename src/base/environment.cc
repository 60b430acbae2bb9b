#include "base/environment.h"

#include <cstdlib>

#include "base/error.h"

namespace pome {

bool environment_switch(const char* variable, std::string_view where) {
    const char* const given = std::getenv(variable);
    const std::string_view setting = given == nullptr ? "on" : given;
    if (setting != "on" && setting != "off") {
        fail(Code::invalid_argument, where, "{} is '{}': say on or off", variable, setting);
    }
    return setting == "on";
}

}  // namespace pome
