#pragma once

#include <string>

namespace pome::kernels {

/// The library that multiplies fp32 matrices, with what it says of itself: "OpenBLAS 0.3.21 ..."
std::string blas_library();

/// The vector instructions that kernels run with on this processor: "AVX3_ZEN4", "NEON".
std::string vector_target();

}  // namespace pome::kernels
