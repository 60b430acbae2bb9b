// fp32 FMA sums: of fp16 products, the emulator's fast numerics (the product of two fp16 is exact
// in fp32, so targets without FMA give the same sums), and of fp32 products.

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

/// What the kernels here have in common: operands as plain floats.
struct PlainKernel {
    using Rows = PlainRows;
    static constexpr bool bounded = false;
    static constexpr bool ieee = true;

    static std::int64_t rows_size(std::int64_t inner) { return block_rows * padded(inner); }
};

struct FastKernel : PlainKernel {
    static PlainRows pack_rows(const Matrix& a, std::int64_t first, float* memory) {
        return pack_plain_rows(a, first, memory);
    }
    static PackedColumns pack_panel(const MatmulJob& job, std::int64_t first, float* memory) {
        return pack_columns<FastKernel>(job.b, first, memory);
    }

    /// A block's sums over some of K: they begin at the bias or at what was stored, and end as
    /// results or stored again.
    struct Slice {
        std::int64_t first, steps;
        bool begins, ends;
    };
    /// Where a block's sums and results are.
    struct Block {
        float* sums;  ///< rows of panel_width, sums_step apart
        std::int64_t sums_step;
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
                tile[r][0] = hn::LoadU(d, block.sums + r * block.sums_step);
                tile[r][1] = hn::LoadU(d, block.sums + r * block.sums_step + lanes);
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
                hn::StoreU(tile[r][0], d, block.sums + r * block.sums_step);
                hn::StoreU(tile[r][1], d, block.sums + r * block.sums_step + lanes);
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
                Block block{
                    sums[i], panel_width,      job.bias != nullptr ? job.bias + row : nullptr,
                    y,       job.y_row_stride, std::min(block_rows, job.a.rows - row)};
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

/// Where sums begin and end as floats in memory: element (m, n) at y + m * row_step + n *
/// column_step.
struct FloatResults {
    float* y;
    std::int64_t rows, columns, row_step, column_step;
    bool adds;  ///< to what is there

    /// Brings the sums of a block that is not whole, or not in rows, into a tile, or takes them
    /// back.
    void move(std::int64_t row, std::int64_t column, float* tile, bool back) const {
        const std::int64_t count = std::min(block_rows, rows - row),
                           width = std::min(panel_width, columns - column);
        float* at = y + row * row_step + column * column_step;
        if (column_step == 1) {
            for (std::int64_t r = 0; r < count; ++r, at += row_step, tile += panel_width) {
                back ? std::copy_n(tile, width, at) : std::copy_n(at, width, tile);
            }
            return;
        }
        for (std::int64_t c = 0; c < width; ++c, at += column_step, ++tile) {
            for (std::int64_t r = 0; r < count; ++r) {
                float &there = at[r * row_step], &here = tile[r * panel_width];
                back ? there = here : here = there;
            }
        }
    }
};

/// A group of rows against one panel, with such results.
inline void multiply_into(const FloatResults& results, const PlainRows* rows, std::int64_t blocks,
                          std::int64_t first_row, std::int64_t inner, const PackedColumns& columns,
                          std::int64_t column) {
    HWY_ALIGN float tiles[largest_group][block_rows * panel_width];
    FastKernel::Block at[largest_group];
    for (std::int64_t i = 0; i < blocks; ++i) {
        const std::int64_t row = first_row + i * block_rows;
        const bool in_place = results.column_step == 1 && row + block_rows <= results.rows &&
                              column + panel_width <= results.columns;
        at[i] = {tiles[i], panel_width, nullptr, nullptr, 0, block_rows};
        if (in_place) {
            at[i].sums = results.y + row * results.row_step + column;
            at[i].sums_step = results.row_step;
        } else if (results.adds) {
            results.move(row, column, tiles[i], false);
        }
    }
    std::int64_t k = 0;
    do {
        const FastKernel::Slice slice{k, std::min(slice_steps, inner - k), k == 0 && !results.adds,
                                      false};
        for (std::int64_t i = 0; i < blocks; ++i) {
            if (k == 0 && at[i].sums != tiles[i]) {  // the next panel's
                for (std::int64_t r = 0; r < block_rows; ++r) {
                    const float* next = at[i].sums + r * at[i].sums_step + panel_width;
                    __builtin_prefetch(next, 1);
                    __builtin_prefetch(next + panel_width - 1, 1);
                }
            }
            rows[i].k_step == 1 ? FastKernel::add_slice<true>(rows[i], columns, slice, at[i])
                                : FastKernel::add_slice<false>(rows[i], columns, slice, at[i]);
        }
        k += slice_steps;
    } while (k < inner);
    for (std::int64_t i = 0; i < blocks; ++i) {
        if (at[i].sums == tiles[i]) {
            results.move(first_row + i * block_rows, column, tiles[i], true);
        }
    }
}

/// The same products, added to sums in memory.
struct SumKernel : PlainKernel {
    static PlainRows pack_rows(const Matrix& a, std::int64_t first, float* memory) {
        return pack_plain_rows(a, first, memory);
    }
    static PackedColumns pack_panel(const MatmulSum& job, std::int64_t first, float* memory) {
        return pack_columns<SumKernel>(job.b, first, memory);
    }
    static void multiply_panel(const MatmulCallOf<MatmulSum>&, const MatmulSum& job,
                               const PlainRows* rows, std::int64_t blocks, std::int64_t first_row,
                               const PackedColumns& columns, std::int64_t column) {
        multiply_into({job.y, job.a.rows, job.b.columns, job.y_row_stride, 1, true}, rows, blocks,
                      first_row, job.a.columns, columns, column);
    }
};

/// Products of fp32 operands.
struct FloatKernel : PlainKernel {
    static PlainRows pack_rows(const FloatMatrix& a, std::int64_t first, float* memory) {
        return pack_float_rows(a, first, memory);
    }
    static PackedColumns pack_panel(const FloatProduct& job, std::int64_t first, float* memory) {
        return pack_float_columns(job.b, first, job.factor, memory);
    }
    static void multiply_panel(const MatmulCallOf<FloatProduct>&, const FloatProduct& job,
                               const PlainRows* rows, std::int64_t blocks, std::int64_t first_row,
                               const PackedColumns& columns, std::int64_t column) {
        multiply_into(
            {job.y, job.a.rows, job.b.columns, job.y_row_stride, job.y_column_stride, job.adds},
            rows, blocks, first_row, job.a.columns, columns, column);
    }
};

void multiply_fast(const MatmulCall& call) {
    run_in_rounds<FastKernel>(call);
}

void multiply_add(const MatmulCallOf<MatmulSum>& call) {
    run_in_rounds<SumKernel>(call);
}

void multiply_floats(const MatmulCallOf<FloatProduct>& call) {
    run_in_rounds<FloatKernel>(call);
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(multiply_fast);
HWY_EXPORT(multiply_add);
HWY_EXPORT(multiply_floats);

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

void matmul_floats(const FloatProduct& product, ThreadPool& pool, MatmulScratch& scratch) {
    constexpr std::int64_t most_steps = 1024;
    std::atomic<std::int64_t> saturated{0}, slow{0};
    const std::int64_t inner = product.a.columns;
    std::int64_t k = 0;
    do {
        FloatProduct part = product;
        part.a.columns = part.b.rows = std::min(most_steps, inner - k);
        part.a.data += k * part.a.column_stride;
        part.b.data += k * part.b.row_stride;
        part.adds = product.adds || k > 0;
        const MatmulCallOf<FloatProduct> call{{&part, 1}, &pool, &scratch, &saturated, &slow};
        HWY_DYNAMIC_DISPATCH(multiply_floats)(call);
        k += most_steps;
    } while (k < inner);
}

}  // namespace pome::kernels
#endif
