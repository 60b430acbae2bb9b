#include "kernels/fast_paths.h"

#include <hwy/targets.h>

#include "base/environment.h"

namespace pome::kernels {
namespace {

bool read_setting() {
    const bool on = environment_switch("POME_FAST_PATHS", "kernels.fast_paths");
    if (!on) {
        hwy::DisableTargets(~(HWY_SCALAR | HWY_EMU128));
    }
    return on;
}

}  // namespace

bool fast_paths() {
    static const bool allowed = read_setting();
    return allowed;
}

}  // namespace pome::kernels
