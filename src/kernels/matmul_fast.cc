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
    using Rows = PlainRows;
    static constexpr bool bounded = false;
    static constexpr bool ieee = true;

    static std::int64_t rows_size(std::int64_t inner) { return block_rows * padded(inner); }
    static PlainRows pack_rows(const Matrix& a, std::int64_t first, float* memory) {
        return pack_plain_rows(a, first, memory);
    }

    /// A block's sums over some of K: they begin at the bias or at what was stored, and end as
    /// results or stored again.
    struct Slice {
        std::int64_t first, steps;
        bool begins, ends;
    };
    /// Where a block's sums and results are.
    struct Block {
        float* sums;
        const float* bias;  ///< of `rows` rows; or nullptr
        fp16* y;            ///< block_rows rows of panel_width, y_step apart
        std::int64_t y_step, rows;
    };

    template <bool steps_follow>
    static HWY_NOINLINE void add_slice(const PlainRows& rows, const PackedColumns& columns,
                                       const Slice& slice, const Block& block) {
        const hn::ScalableTag<float> d;
        hn::Vec<decltype(d)> tile[block_rows][2];
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            if (slice.begins) {
                const bool has_bias = block.bias != nullptr && r < block.rows;
                tile[r][0] = tile[r][1] = hn::Set(d, has_bias ? block.bias[r] : 0.0F);
            } else {
                tile[r][0] = hn::Load(d, block.sums + r * panel_width);
                tile[r][1] = hn::Load(d, block.sums + r * panel_width + lanes);
            }
        }
        const std::int64_t k_step = steps_follow ? 1 : block_rows,
                           row_step = steps_follow ? rows.row_step : 1;
        const float* factors = rows.values + slice.first * k_step;
        const float* values = columns.values + slice.first * panel_width;
        for (std::int64_t k = 0; k < slice.steps; ++k) {
            const auto b0 = hn::Load(d, values), b1 = hn::Load(d, values + lanes);
            POME_UNROLL
            for (int r = 0; r < block_rows; ++r) {
                const auto a = hn::Set(d, factors[r * row_step]);
                tile[r][0] = hn::MulAdd(a, b0, tile[r][0]);
                tile[r][1] = hn::MulAdd(a, b1, tile[r][1]);
            }
            factors += k_step;
            values += panel_width;
        }
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            if (slice.ends) {
                store_rounded(tile[r][0], block.y + r * block.y_step);
                store_rounded(tile[r][1], block.y + r * block.y_step + lanes);
            } else {
                hn::Store(tile[r][0], d, block.sums + r * panel_width);
                hn::Store(tile[r][1], d, block.sums + r * panel_width + lanes);
            }
        }
    }

    static HWY_INLINE void store_rounded(hn::Vec<hn::ScalableTag<float>> sums, fp16* y) {
        const hn::ScalableTag<float> d;
        const hn::Rebind<std::uint16_t, decltype(d)> dh;
        hn::StoreU(narrow_bits(d, sums), dh, &y->bits);
    }

    /// A group of rows against one panel.
    static void multiply_panel(const MatmulCall&, const MatmulJob& job, const PlainRows* rows,
                               std::int64_t blocks, std::int64_t first_row,
                               const PackedColumns& columns, std::int64_t column) {
        HWY_ALIGN float sums[largest_group][block_rows * panel_width];
        HWY_ALIGN fp16 tile[block_rows * panel_width];
        const std::int64_t inner = job.a.columns;
        const std::int64_t width = std::min(panel_width, job.b.columns - column);
        std::int64_t k = 0;
        do {
            const Slice slice{k, std::min(slice_steps, inner - k), k == 0,
                              k + slice_steps >= inner};
            for (std::int64_t i = 0; i < blocks; ++i) {
                const std::int64_t row = first_row + i * block_rows;
                fp16* y = job.y + row * job.y_row_stride + column;
                Block block{sums[i], job.bias != nullptr ? job.bias + row : nullptr, y,
                            job.y_row_stride, std::min(block_rows, job.a.rows - row)};
                const bool is_whole = width == panel_width && block.rows == block_rows;
                if (!is_whole) {  // it may not write beyond the block
                    block.y = tile;
                    block.y_step = panel_width;
                }
                rows[i].k_step == 1 ? add_slice<true>(rows[i], columns, slice, block)
                                    : add_slice<false>(rows[i], columns, slice, block);
                for (std::int64_t r = 0; slice.ends && !is_whole && r < block.rows; ++r) {
                    std::memcpy(y + r * job.y_row_stride, tile + r * panel_width,
                                static_cast<std::size_t>(width) * sizeof(fp16));
                }
            }
            k += slice_steps;
        } while (k < inner);
    }
};

/// The same products, added to sums in memory.
struct SumKernel {
    using Rows = PlainRows;
    static constexpr bool bounded = false;
    static constexpr bool ieee = true;

    static std::int64_t rows_size(std::int64_t inner) { return FastKernel::rows_size(inner); }
    static PlainRows pack_rows(const Matrix& a, std::int64_t first, float* memory) {
        return pack_plain_rows(a, first, memory);
    }

    static void multiply_panel(const MatmulCallOf<MatmulSum>&, const MatmulSum& job,
                               const PlainRows* rows, std::int64_t blocks, std::int64_t first_row,
                               const PackedColumns& columns, std::int64_t column) {
        HWY_ALIGN float sums[largest_group][block_rows * panel_width];
        const std::int64_t inner = job.a.columns;
        const std::int64_t width = std::min(panel_width, job.b.columns - column);
        /// Calls body(sums, y) for each row of each block.
        const auto for_rows = [&](auto body) {
            for (std::int64_t i = 0; i < blocks; ++i) {
                const std::int64_t row = first_row + i * block_rows;
                const std::int64_t count = std::min(block_rows, job.a.rows - row);
                for (std::int64_t r = 0; r < count; ++r) {
                    body(sums[i] + r * panel_width, job.y + (row + r) * job.y_row_stride + column);
                }
            }
        };
        for_rows([width](float* sum, const float* y) { std::copy_n(y, width, sum); });
        for (std::int64_t k = 0; k < inner; k += slice_steps) {
            const FastKernel::Slice slice{k, std::min(slice_steps, inner - k), false, false};
            for (std::int64_t i = 0; i < blocks; ++i) {
                const FastKernel::Block block{sums[i], nullptr, nullptr, 0, block_rows};
                rows[i].k_step == 1 ? FastKernel::add_slice<true>(rows[i], columns, slice, block)
                                    : FastKernel::add_slice<false>(rows[i], columns, slice, block);
            }
        }
        for_rows([width](const float* sum, float* y) { std::copy_n(sum, width, y); });
    }
};

void multiply_fast(const MatmulCall& call) {
    run_in_rounds<FastKernel>(call);
}

void multiply_add(const MatmulCallOf<MatmulSum>& call) {
    run_in_rounds<SumKernel>(call);
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(multiply_fast);
HWY_EXPORT(multiply_add);

}  // namespace

void matmul_fast(std::span<const MatmulJob> jobs, ThreadPool& pool, MatmulScratch& scratch) {
    std::atomic<std::int64_t> saturated{0}, slow{0};
    const MatmulCall call{jobs, &pool, &scratch, &saturated, &slow};
    HWY_DYNAMIC_DISPATCH(multiply_fast)(call);
}

void matmul_add(std::span<const MatmulSum> jobs, ThreadPool& pool, MatmulScratch& scratch) {
    std::atomic<std::int64_t> saturated{0}, slow{0};
    const MatmulCallOf<MatmulSum> call{jobs, &pool, &scratch, &saturated, &slow};
    HWY_DYNAMIC_DISPATCH(multiply_add)(call);
}

}  // namespace pome::kernels
#endif
