// Blocking and packing that the exact and the fast product share. Included once per vector target.

#if defined(POME_KERNELS_MATMUL_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_MATMUL_BLOCKS_INL_H_
#undef POME_KERNELS_MATMUL_BLOCKS_INL_H_
#else
#define POME_KERNELS_MATMUL_BLOCKS_INL_H_
#endif

#include <cstring>
#include <vector>

#include "hwy/highway.h"
#include "kernels/matmul_call.h"
#include "kernels/rounding-inl.h"

#ifndef POME_UNROLL
#if defined(__clang__)
#define POME_UNROLL _Pragma("clang loop unroll(full)")
#else
#define POME_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows of a tile, two vectors of accumulators each. With 32 registers 8 was fastest (10 and 12 made g++ 12 spill).
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_ARCH_ARM_A64
constexpr int block_rows = 8;
#else
constexpr int block_rows = 4;
#endif

/// K rounded up to whole lines: packed pieces start on lines of their own.
inline std::int64_t padded(std::int64_t inner) { return (inner + 15) / 16 * 16; }

/// Converts 16-bit floats `stride` apart to floats.
inline void widen(const fp16* from, std::int64_t stride, std::int64_t count, float* to) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    fp16 gathered[64] = {};
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const fp16* source = from + i;
        if (stride != 1) {
            for (std::int64_t j = 0; j < lanes; ++j) { gathered[j] = from[(i + j) * stride]; }
            source = gathered;
        }
        hn::StoreU(load_halves(d, source), d, to + i);
    }
    if (i < count) {  // the rest through a whole vector
        float rest[64];
        for (std::int64_t j = i; j < count; ++j) { gathered[j - i] = from[j * stride]; }
        hn::StoreU(load_halves(d, gathered), d, rest);
        std::copy_n(rest, count - i, to + i);
    }
}

/// Columns [first, first + 2 vectors) of b as panel[k][column], zeros beyond its end; fills in the block's bounds.
/// smallest[k] becomes the smallest magnitude but zero of row k (a large number if all are zero).
inline void pack_columns(const Matrix& b, std::int64_t first, float* panel, float* smallest, Block& block) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const std::int64_t width = 2 * lanes, count = std::min(width, b.columns - first);
    if (b.column_stride == 1 || b.row_stride != 1) {
        for (std::int64_t k = 0; k < b.rows; ++k) {
            float* row = panel + k * width;
            widen(b.data + k * b.row_stride + first * b.column_stride, b.column_stride, count, row);
            std::fill(row + count, row + width, 0.0F);
        }
    } else {  // k runs along memory: convert column by column, 16 k at a time
        float column[16];
        for (std::int64_t k = 0; k < b.rows; k += 16) {
            const std::int64_t part = std::min<std::int64_t>(16, b.rows - k);
            for (std::int64_t c = 0; c < width; ++c) {
                if (c < count) { widen(b.data + k + (first + c) * b.column_stride, 1, part, column); }
                for (std::int64_t j = 0; j < part; ++j) { panel[(k + j) * width + c] = c < count ? column[j] : 0.0F; }
            }
        }
    }
    auto n0 = hn::Zero(d), n1 = hn::Zero(d), largest = hn::Zero(d);
    const auto nothing = hn::Set(d, 1e30F);
    for (std::int64_t k = 0; k < b.rows; ++k) {
        const auto v0 = hn::Load(d, panel + k * width), v1 = hn::Load(d, panel + k * width + lanes);
        const auto m0 = hn::Abs(v0), m1 = hn::Abs(v1);
        n0 = hn::MulAdd(v0, v0, n0);
        n1 = hn::MulAdd(v1, v1, n1);
        largest = hn::Max(largest, hn::Max(m0, m1));
        const auto least = hn::Min(hn::IfThenElse(hn::Eq(m0, hn::Zero(d)), nothing, m0),
                                   hn::IfThenElse(hn::Eq(m1, hn::Zero(d)), nothing, m1));
        smallest[k] = hn::GetLane(hn::MinOfLanes(d, least));
    }
    // NaN and infinity survive in the norms, whatever Max does with them: their bound then fails.
    const auto sum = hn::Add(hn::Mul(n0, hn::Zero(d)), hn::Mul(n1, hn::Zero(d)));
    block.b_norm = hn::GetLane(hn::MaxOfLanes(d, hn::Max(n0, n1))) + hn::GetLane(hn::SumOfLanes(d, sum));
    block.b_largest = hn::GetLane(hn::MaxOfLanes(d, largest));
}

/// Rows [first, first + block_rows) of a as packed[k][plane][row], zeros beyond its end: one pointer walks through all
/// rows, whatever K is. top[k] becomes the largest value of the second plane at k. Fills in the block's bounds.
template <class Kernel>
inline void pack_rows(const Matrix& a, std::int64_t first, float* packed, float* top, Block& block) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const std::int64_t inner = a.columns, count = std::min<std::int64_t>(block_rows, a.rows - first);
    HWY_ALIGN float part[block_rows][64] = {};          // some k of every row
    HWY_ALIGN float planes[2][block_rows][64];
    HWY_ALIGN float norms[block_rows][64] = {};
    auto largest = hn::Zero(d);
    const bool rows_adjacent = a.row_stride == 1 && a.column_stride != 1;
    for (std::int64_t k = 0; k < inner; k += lanes) {
        const std::int64_t steps = std::min(lanes, inner - k);
        if (rows_adjacent) {  // read along the rows, k by k
            for (std::int64_t j = 0; j < steps; ++j) {
                float column[64];
                widen(a.data + first + (k + j) * a.column_stride, 1, count, column);
                for (std::int64_t r = 0; r < count; ++r) { part[r][j] = column[r]; }
            }
        } else {
            for (std::int64_t r = 0; r < count; ++r) {
                widen(a.data + (first + r) * a.row_stride + k * a.column_stride, a.column_stride, steps, part[r]);
            }
        }
        auto highest = hn::Zero(d);
        for (std::int64_t r = 0; r < block_rows; ++r) {
            if (steps < lanes) { std::fill(part[r] + steps, part[r] + lanes, 0.0F); }
            const auto v = hn::Load(d, part[r]);
            hn::Store(hn::MulAdd(v, v, hn::Load(d, norms[r])), d, norms[r]);
            largest = hn::Max(largest, hn::Abs(v));
            highest = hn::Max(highest, Kernel::pack(d, v, planes[0][r], planes[1][r]));
        }
        hn::StoreU(highest, d, top + k);
        for (std::int64_t j = 0; j < steps; ++j) {
            float* out = packed + (k + j) * Kernel::planes * block_rows;
            for (int plane = 0; plane < Kernel::planes; ++plane) {
                POME_UNROLL
                for (int r = 0; r < block_rows; ++r) { out[plane * block_rows + r] = planes[plane][r][j]; }
            }
        }
    }
    block.a_norm = 0.0F;
    for (std::int64_t r = 0; r < block_rows; ++r) {
        const float norm = hn::GetLane(hn::SumOfLanes(d, hn::Load(d, norms[r])));
        block.a_norm = std::isfinite(norm) ? std::max(block.a_norm, norm) : HUGE_VALF;  // NaN counts as infinite
    }
    block.a_largest = hn::GetLane(hn::MaxOfLanes(d, largest));
}

/// A block of results into y, whole or its part inside the matrix.
inline void put_block(const MatmulJob& job, std::int64_t row, std::int64_t column, const fp16* tile, std::int64_t width) {
    const std::int64_t rows = std::min<std::int64_t>(block_rows, job.a.rows - row);
    const std::int64_t columns = std::min<std::int64_t>(width, job.b.columns - column);
    for (std::int64_t r = 0; r < rows; ++r) {
        std::memcpy(job.y + (row + r) * job.y_row_stride + column, tile + r * width, static_cast<std::size_t>(columns) * sizeof(fp16));
    }
}

/// All jobs: columns of every b packed first, by all threads; then each thread takes row blocks, packs them and
/// multiplies them with every panel.
template <class Kernel>
inline void run_jobs(const MatmulCall& call) {
    const hn::ScalableTag<float> d;
    const auto width = static_cast<std::int64_t>(2 * hn::Lanes(d));
    struct Layout {
        std::int64_t first_panel, panels, first_block, blocks, panel_offset;
    };
    std::vector<Layout> layouts;
    std::int64_t panels = 0, blocks = 0, floats = 0, longest = 0;
    for (const MatmulJob& job : call.jobs) {
        const std::int64_t p = (job.b.columns + width - 1) / width, r = (job.a.rows + block_rows - 1) / block_rows;
        layouts.push_back({panels, p, blocks, r, floats});
        panels += p;
        blocks += r;
        floats += p * (width + 1) * padded(job.a.columns);
        longest = std::max(longest, job.a.columns);
    }
    const std::int64_t rows_size = (Kernel::planes * block_rows + 1) * padded(longest);
    float* memory = call.scratch->reserve(static_cast<std::size_t>(floats + rows_size * call.pool->threads()));
    std::vector<Block> panel_bounds(static_cast<std::size_t>(panels));
    const auto job_of = [&](std::int64_t index, std::int64_t Layout::*first) {
        std::size_t job = layouts.size() - 1;
        while (job > 0 && layouts[job].*first > index) { --job; }
        return job;
    };
    call.pool->for_ranges(panels, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t panel = begin; panel < end; ++panel) {
            const std::size_t j = job_of(panel, &Layout::first_panel);
            const MatmulJob& job = call.jobs[j];
            const std::int64_t own = panel - layouts[j].first_panel;
            const std::int64_t inner = padded(job.a.columns);
            float* columns = memory + layouts[j].panel_offset + own * (width + 1) * inner;
            pack_columns(job.b, own * width, columns, columns + width * inner, panel_bounds[static_cast<std::size_t>(panel)]);
        }
    });
    call.pool->for_ranges(blocks, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
        float* rows = memory + floats + rows_size * thread;
        HWY_ALIGN fp16 tile[block_rows * 2 * 64];
        std::vector<std::uint32_t> order(2 * static_cast<std::size_t>(longest));
        std::int64_t saturated = 0, slow = 0;
        for (std::int64_t index = begin; index < end; ++index) {
            const std::size_t j = job_of(index, &Layout::first_block);
            const MatmulJob& job = call.jobs[j];
            const Layout& layout = layouts[j];
            const std::int64_t row = (index - layout.first_block) * block_rows, inner = job.a.columns;
            Block block;
            float* top = rows + Kernel::planes * block_rows * padded(longest);
            pack_rows<Kernel>(job.a, row, rows, top, block);
            float bias[block_rows] = {};
            if (job.bias != nullptr) {
                std::copy_n(job.bias + row, std::min<std::int64_t>(block_rows, job.a.rows - row), bias);
                for (const float value : bias) { block.bias = std::max(block.bias, std::fabs(value)); }
            }
            for (std::int64_t panel = 0; panel < layout.panels; ++panel) {
                const Block& bounds = panel_bounds[static_cast<std::size_t>(layout.first_panel + panel)];
                block.b_norm = bounds.b_norm;
                block.b_largest = bounds.b_largest;
                if (!Kernel::is_safe(block, inner)) {
                    ++slow;
                    const std::int64_t row_end = std::min(row + block_rows, job.a.rows);
                    const std::int64_t column_end = std::min((panel + 1) * width, job.b.columns);
                    for (std::int64_t r = row; r < row_end; ++r) {
                        for (std::int64_t c = panel * width; c < column_end; ++c) {
                            job.y[r * job.y_row_stride + c] = exact_result(job, r, c, *call.rules, saturated);
                        }
                    }
                    continue;
                }
                const float* columns = memory + layout.panel_offset + panel * (width + 1) * padded(inner);
                Kernel::tile(rows, top, columns, columns + width * padded(inner), inner, order.data(), tile,
                             job.bias != nullptr ? bias : nullptr, saturated);
                put_block(job, row, panel * width, tile, width);
            }
        }
        if (saturated > 0) { *call.saturated += saturated; }
        if (slow > 0) { *call.slow_blocks += slow; }
    });
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
