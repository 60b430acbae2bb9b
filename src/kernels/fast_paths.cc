#include "kernels/fast_paths.h"

#include <hwy/targets.h>

#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace pome::kernels {
namespace {

bool read_setting() {
    const char* const given = std::getenv("POME_FAST_PATHS");
    const std::string_view setting = given == nullptr ? "on" : given;
    if (setting != "on" && setting != "off") {
        fail(Code::invalid_argument, "kernels.fast_paths", "POME_FAST_PATHS is '{}': say on or off",
             setting);
    }
    if (setting == "off") {
        hwy::DisableTargets(~(HWY_SCALAR | HWY_EMU128));
    }
    return setting == "on";
}

}  // namespace

bool fast_paths() {
    static const bool allowed = read_setting();
    return allowed;
}

}  // namespace pome::kernels
