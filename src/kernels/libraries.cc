#include "kernels/libraries.h"

#include <hwy/targets.h>

#ifndef __APPLE__
#include <cblas.h>
#endif

namespace pome::kernels {

std::string blas_library() {
#ifdef __APPLE__
    return "Accelerate";
#else
    return openblas_get_config();
#endif
}

std::string vector_target() {
    // Better targets have lower bits.
    const auto usable = hwy::SupportedTargets() & HWY_TARGETS;
    return usable == 0 ? "scalar" : hwy::TargetName(usable & (~usable + 1));
}

}  // namespace pome::kernels
