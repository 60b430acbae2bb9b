// fp16 products with fp32 FMA sums: the emulator's fast numerics.

#include "kernels/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_fast.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/matmul_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct FastKernel {
    static constexpr int planes = 1;

    template <class D, class V = hn::Vec<D>>
    static HWY_INLINE V pack(D d, V a, float* first, float*) {
        hn::Store(a, d, first);
        return hn::Zero(d);
    }

    static HWY_INLINE void tile(const float* a, const float*, const float* b, const float*, std::int64_t inner,
                                std::uint32_t*, fp16* out, const float* bias, std::int64_t&) {
        const hn::ScalableTag<float> d;
        using V = hn::Vec<decltype(d)>;
        const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
        V sums[block_rows][2];
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) { sums[r][0] = sums[r][1] = hn::Set(d, bias != nullptr ? bias[r] : 0.0F); }
        for (std::int64_t k = 0; k < inner; ++k) {
            const V b0 = hn::Load(d, b + k * 2 * lanes), b1 = hn::Load(d, b + k * 2 * lanes + lanes);
            POME_UNROLL
            for (int r = 0; r < block_rows; ++r) {
                const V factor = hn::Set(d, a[k * block_rows + r]);
                sums[r][0] = hn::MulAdd(factor, b0, sums[r][0]);
                sums[r][1] = hn::MulAdd(factor, b1, sums[r][1]);
            }
        }
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            store_halves(d, sums[r][0], out + r * 2 * lanes);
            store_halves(d, sums[r][1], out + r * 2 * lanes + lanes);
        }
    }

    static bool is_safe(const Block&, std::int64_t) { return true; }
};

void multiply_fast(const MatmulCall& call) { run_jobs<FastKernel>(call); }

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(multiply_fast);

}  // namespace

void matmul_fast(std::span<const MatmulJob> jobs, ThreadPool& pool, MatmulScratch& scratch) {
    const Numerics::MultiplyAccumulate rules;
    std::atomic<std::int64_t> saturated{0}, slow{0};
    const MatmulCall call{jobs, &pool, &scratch, &rules, &saturated, &slow};
    HWY_DYNAMIC_DISPATCH(multiply_fast)(call);
}

}  // namespace pome::kernels
#endif
