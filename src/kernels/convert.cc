#include "kernels/convert.h"

// Vectors whose size the compiler does not know cannot be kept in arrays.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convert.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/rounding-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

void widen_all(const fp16* from, float* to, std::int64_t count) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        hn::StoreU(load_halves(d, from + i), d, to + i);
    }
    if (i < count) {
        fp16 rest[max_lanes] = {};
        float wide[max_lanes];
        std::copy(from + i, from + count, rest);
        hn::StoreU(load_halves(d, rest), d, wide);
        std::copy_n(wide, count - i, to + i);
    }
}

template <bool away>
void narrow_all(const float* from, fp16* to, std::int64_t count) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto convert = [&](const float* source, fp16* target) {
        const auto v = quiet_nan(d, hn::LoadU(d, source));
        store_halves(d, away ? round_to_half<true, true>(d, v) : v, target);
    };
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        convert(from + i, to + i);
    }
    if (i < count) {
        float rest[max_lanes] = {};
        fp16 narrow[max_lanes];
        std::copy(from + i, from + count, rest);
        convert(rest, narrow);
        std::copy_n(narrow, count - i, to + i);
    }
}

void narrow_even(const float* from, fp16* to, std::int64_t count) {
    narrow_all<false>(from, to, count);
}
void narrow_away(const float* from, fp16* to, std::int64_t count) {
    narrow_all<true>(from, to, count);
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {

HWY_EXPORT(widen_all);
HWY_EXPORT(narrow_even);
HWY_EXPORT(narrow_away);

void to_float(const fp16* from, float* to, std::int64_t count) {
    HWY_DYNAMIC_DISPATCH(widen_all)(from, to, count);
}

void to_fp16(const float* from, fp16* to, std::int64_t count, Rounding rounding) {
    switch (rounding) {
        case Rounding::nearest_even:
            return HWY_DYNAMIC_DISPATCH(narrow_even)(from, to, count);
        case Rounding::nearest_away:
            return HWY_DYNAMIC_DISPATCH(narrow_away)(from, to, count);
        case Rounding::toward_zero:  // for experiments only
            for (std::int64_t i = 0; i < count; ++i) {
                to[i] = pome::to_fp16(from[i], rounding);
            }
    }
}

}  // namespace pome::kernels
#endif
