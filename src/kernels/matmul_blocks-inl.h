// Blocking and sharing that the exact and the fast product have in common. Included once per vector
// target.
//
// Columns of b are packed once per job, by all threads, as panels two vectors wide. A unit of work
// is a group of rows against a range of panels: its rows are packed once (they stay in the second
// cache), then every panel is walked in slices of K that stay in the first cache while all rows of
// the group pass over them. Sums rest in a small buffer between slices.

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
#include "kernels/matmul_packing-inl.h"

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

constexpr std::int64_t slice_steps = 128;        ///< K of a slice: 16 KiB of a panel with AVX-512
constexpr std::int64_t largest_group = 8;        ///< blocks of rows
constexpr std::int64_t group_floats = 50 << 10;  ///< 200 KiB of packed rows

/// Where a job's panels and units stand among those of all jobs.
struct JobLayout {
    std::int64_t inner;                      ///< K
    std::int64_t first_panel, panels;        ///< index, count
    std::int64_t panel_offset, panel_size;   ///< floats
    std::int64_t first_unit, group, groups;  ///< blocks in a group of rows; groups
    std::int64_t parts;                      ///< ranges of panels
};

inline std::int64_t ceiling(std::int64_t value, std::int64_t divisor) {
    return (value + divisor - 1) / divisor;
}

struct CallLayout {
    std::vector<JobLayout> jobs;
    std::int64_t panels = 0, units = 0, column_floats = 0, row_floats = 0;
    std::int64_t threads = 1;
};

template <class Kernel, class Call>
inline CallLayout lay_out(const Call& call) {
    constexpr std::int64_t worth_sharing = std::int64_t{1} << 17;  // products; microseconds
    CallLayout all;
    std::int64_t products = 0, blocks = 0;
    for (const auto& job : call.jobs) {
        products += job.a.rows * job.a.columns * job.b.columns;
        blocks += ceiling(job.a.rows, block_rows);
    }
    if (products > worth_sharing) {
        all.threads = call.pool->threads();
    }
    for (const auto& job : call.jobs) {
        JobLayout own{};
        own.inner = job.a.columns;
        own.first_panel = all.panels;
        own.panels = ceiling(job.b.columns, panel_width);
        own.panel_offset = all.column_floats;
        own.panel_size = packed_columns_size<Kernel>(own.inner);
        const std::int64_t rows = ceiling(job.a.rows, block_rows);
        const std::int64_t block_size = Kernel::rows_size(own.inner);
        own.group = std::clamp<std::int64_t>(group_floats / std::max<std::int64_t>(1, block_size),
                                             1, largest_group);
        if (all.threads > 1) {  // several units for each thread, or they end at different times
            own.group = std::clamp<std::int64_t>(blocks / (4 * all.threads), 1, own.group);
        }
        own.groups = ceiling(rows, own.group);
        const bool few = all.threads > 1 && blocks < 4 * all.threads;
        own.parts =
            few ? std::clamp<std::int64_t>(4 * all.threads / std::max<std::int64_t>(1, blocks), 1,
                                           std::max<std::int64_t>(1, own.panels))
                : 1;
        own.first_unit = all.units;
        all.panels += own.panels;
        all.units += own.groups * own.parts;
        all.column_floats += own.panels * own.panel_size;
        all.row_floats = std::max(all.row_floats, own.group * block_size);
        all.jobs.push_back(own);
    }
    return all;
}

/// The job whose panels (or units, by `first`) include `index`.
inline std::size_t job_of(const CallLayout& layout, std::int64_t index,
                          std::int64_t JobLayout::*first) {
    const auto after = std::upper_bound(
        layout.jobs.begin(), layout.jobs.end(), index,
        [first](std::int64_t value, const JobLayout& job) { return value < job.*first; });
    return static_cast<std::size_t>(after - layout.jobs.begin()) - 1;
}

// What a kernel brings: Rows, block_rows rows of a as it packs them (pack_rows, rows_size floats of
// memory); pack_panel, of b; whether its columns have `bounded` sums (matmul_packing-inl.h; then
// factor and limit too) and `ieee` values; and multiply_panel, a group of rows against one panel.

/// All jobs. Every result is computed by one unit alone, so it does not matter who does which.
template <class Kernel, class Call>
class Run {
  public:
    explicit Run(const Call& call) : call_(call), layout_(lay_out<Kernel>(call)) {
        const std::int64_t rows = layout_.row_floats * layout_.threads;
        columns_ = call.scratch->reserve(static_cast<std::size_t>(layout_.column_floats + rows));
        rows_ = columns_ + layout_.column_floats;
        panels_.resize(static_cast<std::size_t>(layout_.panels));
    }

    void run() {
        share(layout_.panels, &Run::pack_panel);
        share(layout_.units, &Run::do_unit);
    }

  private:
    void share(std::int64_t count, void (Run::*body)(std::int64_t, int)) {
        if (layout_.threads == 1) {
            for (std::int64_t i = 0; i < count; ++i) {
                (this->*body)(i, 0);
            }
        } else {
            call_.pool->for_each(count,
                                 [&](std::int64_t i, int thread) { (this->*body)(i, thread); });
        }
    }

    void pack_panel(std::int64_t panel, int) {
        const std::size_t j = job_of(layout_, panel, &JobLayout::first_panel);
        const JobLayout& own = layout_.jobs[j];
        const std::int64_t index = panel - own.first_panel;
        panels_[static_cast<std::size_t>(panel)] =
            Kernel::pack_panel(call_.jobs[j], index * panel_width,
                               columns_ + own.panel_offset + index * own.panel_size);
    }

    void do_unit(std::int64_t unit, int thread) {
        const std::size_t j = job_of(layout_, unit, &JobLayout::first_unit);
        const JobLayout& own = layout_.jobs[j];
        const auto& job = call_.jobs[j];
        const std::int64_t index = unit - own.first_unit;
        const std::int64_t group = index / own.parts, part = index % own.parts;
        const std::int64_t first_row = group * own.group * block_rows;
        const std::int64_t blocks =
            std::min(own.group, ceiling(job.a.rows - first_row, block_rows));
        typename Kernel::Rows packed[largest_group];
        float* memory = rows_ + layout_.row_floats * thread;
        for (std::int64_t i = 0; i < blocks; ++i) {
            packed[i] = Kernel::pack_rows(job.a, first_row + i * block_rows,
                                          memory + i * Kernel::rows_size(own.inner));
        }
        const std::int64_t end = own.panels * (part + 1) / own.parts;
        for (std::int64_t panel = own.panels * part / own.parts; panel < end; ++panel) {
            Kernel::multiply_panel(call_, job, packed, blocks, first_row,
                                   panels_[static_cast<std::size_t>(own.first_panel + panel)],
                                   panel * panel_width);
        }
    }

    const Call& call_;
    CallLayout layout_;
    float* columns_ = nullptr;
    float* rows_ = nullptr;
    std::vector<PackedColumns> panels_;
};

/// Runs of jobs whose packed columns take little memory together, one run after another: a batch of
/// attention's heads would take more than all of its values.
template <class Kernel, class Call>
inline void run_in_rounds(const Call& call) {
    constexpr std::int64_t round_floats = 5 << 16;  // 1.25 MiB
    for (std::size_t first = 0; first < call.jobs.size();) {
        std::size_t end = first;
        std::int64_t floats = 0;
        for (; end < call.jobs.size(); ++end) {
            const auto& job = call.jobs[end];
            const std::int64_t own =
                ceiling(job.b.columns, panel_width) * packed_columns_size<Kernel>(job.a.columns);
            if (end > first && floats + own > round_floats) {
                break;
            }
            floats += own;
        }
        Call round = call;
        round.jobs = call.jobs.subspan(first, end - first);
        Run<Kernel, Call>(round).run();
        first = end;
    }
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
