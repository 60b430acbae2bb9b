// Vectors of 32 halves, with AVX-512. Included once per vector target; empty for others.

#if defined(POME_KERNELS_WIDE_HALVES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_WIDE_HALVES_INL_H_
#undef POME_KERNELS_WIDE_HALVES_INL_H_
#else
#define POME_KERNELS_WIDE_HALVES_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3

constexpr std::int64_t wide = 32;  // halves of a vector

/// The first `count` of a vector, any number: none below 1, all from 32 on.
HWY_INLINE __mmask32 first_halves(std::int64_t count) {
    return count >= wide ? ~__mmask32{0}
           : count <= 0  ? __mmask32{0}
                         : static_cast<__mmask32>((std::uint64_t{1} << count) - 1);
}

#endif

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
