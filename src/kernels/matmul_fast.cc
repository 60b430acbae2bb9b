// fp16 products with fp32 FMA sums: the emulator's fast numerics. The product of two fp16 is exact
// in fp32, so targets without FMA give the same sums.

#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

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
    using Sum = float;
    using Floats = hn::Vec<hn::ScalableTag<float>>;
    static constexpr bool bounded = false;
    static constexpr bool ieee = true;

    static HWY_INLINE Floats factor(Floats a) { return a; }

    static Way way(const PackedRows&, const PackedColumns&, const float*, std::int64_t,
                   std::int64_t) {
        return Way::quick;
    }

    static void start(float* sums, const float* bias, std::int64_t rows) {
        for (std::int64_t r = 0; r < block_rows; ++r) {
            std::fill_n(sums + r * panel_width, panel_width,
                        bias != nullptr && r < rows ? bias[r] : 0.0F);
        }
    }

    static HWY_NOINLINE void add_slice(const PackedRows& rows, const PackedColumns& columns,
                                       std::int64_t first, std::int64_t steps, float* sums) {
        const hn::ScalableTag<float> d;
        Floats tile[block_rows][2];
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            tile[r][0] = hn::Load(d, sums + r * panel_width);
            tile[r][1] = hn::Load(d, sums + r * panel_width + lanes);
        }
        for (std::int64_t k = first; k < first + steps; ++k) {
            const float* factors = rows.factors + k * block_rows;
            const auto b0 = hn::Load(d, columns.values + k * panel_width);
            const auto b1 = hn::Load(d, columns.values + k * panel_width + lanes);
            POME_UNROLL
            for (int r = 0; r < block_rows; ++r) {
                const auto a = hn::Set(d, factors[r]);
                tile[r][0] = hn::MulAdd(a, b0, tile[r][0]);
                tile[r][1] = hn::MulAdd(a, b1, tile[r][1]);
            }
        }
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            hn::Store(tile[r][0], d, sums + r * panel_width);
            hn::Store(tile[r][1], d, sums + r * panel_width + lanes);
        }
    }

    static std::int64_t finish(Way, const PackedRows&, const PackedColumns&, std::int64_t,
                               const float*, std::int64_t count, std::int64_t, const float* sums,
                               fp16* tile) {
        for (std::int64_t i = 0; i < count * panel_width; i += lanes) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || \
    HWY_ARCH_ARM_A64
            const hn::ScalableTag<float> d;
            const hn::Rebind<hwy::float16_t, decltype(d)> dh;
            hn::StoreU(hn::DemoteTo(dh, hn::Load(d, sums + i)), dh,
                       reinterpret_cast<hwy::float16_t*>(tile + i));
#else  // no instruction for it; Highway's own cuts off
            for (std::int64_t j = i; j < i + lanes; ++j) {
                tile[j] = to_fp16(sums[j], Rounding::nearest_even);
            }
#endif
        }
        return 0;
    }
};

void multiply_fast(const MatmulCall& call) {
    run_in_rounds<FastKernel>(call);
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(multiply_fast);

}  // namespace

void matmul_fast(std::span<const MatmulJob> jobs, ThreadPool& pool, MatmulScratch& scratch) {
    std::atomic<std::int64_t> saturated{0}, slow{0};
    const MatmulCall call{jobs, &pool, &scratch, &saturated, &slow};
    HWY_DYNAMIC_DISPATCH(multiply_fast)(call);
}

}  // namespace pome::kernels
#endif
