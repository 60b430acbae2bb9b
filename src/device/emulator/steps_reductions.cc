// Reductions and softmax.
#include <algorithm>
#include <optional>

#include "device/emulator/elementwise.h"
#include "kernels/elementwise.h"
#include "kernels/reduction.h"
#include "kernels/softmax.h"
#include "reference/chip/activations.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/softmax.h"
#include "reference/chip/tables.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

enum class Kind : std::uint8_t { sum, mean, maximum, minimum };

/// x [outer, count, inner] -> [outer, inner].
class ReduceStep final : public Step {
  public:
    ReduceStep(Kind kind, int x, int result, std::int64_t outer, std::int64_t count,
               std::int64_t inner)
        : kind_(kind), x_(x), result_(result), outer_(outer), count_(count), inner_(inner) {
        make_row_form();
    }

    const RowForm* rows() const override { return rows_ ? &*rows_ : nullptr; }

    int streamed() const override { return x_; }
    void read_from(std::shared_ptr<const Chain> chain) override { chain_ = std::move(chain); }
    bool read_squares_of(int x) override {
        if (!adds() || squares_) {
            return false;
        }
        x_ = x;
        squares_ = true;
        make_row_form();
        return true;
    }

    void run(Run& run) const override {
        if (inner_ == 1) {
            run_rows(run);
        } else {
            run_columns(run);
        }
    }

  private:
    void make_row_form() {
        if (inner_ == 1) {
            rows_ = RowForm{
                x_,
                result_,
                outer_,
                count_,
                false,
                [kind = kind_, count = count_, squares = squares_](
                    const fp16* from, fp16* to, std::int64_t rows, const Numerics& numerics) {
                    reduce(kind, squares, from, to, rows, count, numerics);
                },
                {}};
            if (adds()) {
                rows_->sum = {kind_ == Kind::mean, squares_};
            }
        }
    }

    /// Whole rows, as many at a time as stay in the cache.
    void run_rows(Run& run) const {
        const std::int64_t rows = std::max<std::int64_t>(1, 4096 / count_);
        fp16* out = run.slots[static_cast<std::size_t>(result_)];
        run.pool.for_blocks(outer_, rows, [&](std::int64_t begin, std::int64_t end, int) {
            std::vector<fp16> block, buffers;
            for (std::int64_t row = begin; row < end; row += rows) {
                const std::int64_t some = std::min(rows, end - row);
                reduce(kind_, squares_, rows_of(run, row * count_, some * count_, block, buffers),
                       out + row, some, count_, run.numerics);
            }
        });
    }

    static void reduce(Kind kind, bool squares, const fp16* from, fp16* to, std::int64_t rows,
                       std::int64_t count, const Numerics& numerics) {
        if (squares) {
            return kernels::reduce_squares(from, to, rows, count, kind == Kind::mean, numerics);
        }
        switch (kind) {
            case Kind::sum:
                return kernels::reduce_sum(from, to, rows, count, 1, numerics.reduction);
            case Kind::mean:
                return kernels::reduce_mean(from, to, rows, count, 1, numerics.reduction);
            case Kind::maximum:
                return kernels::reduce_max(from, to, rows, count, 1, numerics.elementwise);
            case Kind::minimum:
                return kernels::reduce_min(from, to, rows, count, 1, numerics.elementwise);
        }
    }

    bool adds() const { return kind_ == Kind::sum || kind_ == Kind::mean; }

    /// Ranges of columns, some rows at a time.
    void run_columns(Run& run) const {
        constexpr std::int64_t narrowest = 256;  // columns of a part: 512 bytes a row
        constexpr std::int64_t widest = 2048;
        const std::int64_t parts = (inner_ + narrowest - 1) / narrowest;
        if (const std::int64_t ranges = row_ranges(run); ranges > outer_ * parts) {
            return run_row_ranges(run, ranges);
        }
        const std::int64_t whole = outer_ >= run.pool.threads() ? 1 : parts;
        const std::int64_t grain =
            std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, count_ * inner_ / whole));
        run.pool.for_ranges(outer_ * whole, grain, [&](std::int64_t begin, std::int64_t end, int) {
            while (begin < end) {
                // Neighbouring parts of one outer index are one range, reduced some columns at a
                // time, whose sums stay in the nearest cache.
                const std::int64_t o = begin / whole, stop = std::min(end, (o + 1) * whole);
                const std::int64_t last =
                    whole == 1 ? inner_ : std::min(inner_, (stop - o * whole) * narrowest);
                for (std::int64_t first = whole == 1 ? 0 : begin % whole * narrowest; first < last;
                     first += widest) {
                    reduce_range(run, o, first, std::min(widest, last - first));
                }
                begin = stop;
            }
        });
    }

    /// Into how many ranges of rows a sum may be cut whose parts are added in the end.
    std::int64_t row_ranges(const Run& run) const {
        constexpr std::int64_t worth_a_thread = 16384;
        if (!adds() || count_ > kernels::most_in_any_order || !run.numerics.reduction.narrow) {
            return 1;
        }
        return std::clamp<std::int64_t>(count_ * inner_ / worth_a_thread, 1, run.pool.threads());
    }

    /// Sums of few columns: every thread takes rows.
    void run_row_ranges(Run& run, std::int64_t ranges) const {
        const Numerics::Reduction& rules = run.numerics.reduction;
        const auto columns = static_cast<std::size_t>(inner_);
        const std::int64_t tiles = (count_ + rules.tile - 1) / rules.tile;
        std::vector<double> sums(static_cast<std::size_t>(ranges) * columns);
        fp16* out = run.slots[static_cast<std::size_t>(result_)];
        for (std::int64_t o = 0; o < outer_; ++o) {
            std::fill(sums.begin(), sums.end(), 0.0);
            run.pool.for_each(ranges, [&](std::int64_t i, int) {
                add_rows(run, o, tiles * i / ranges * rules.tile,
                         std::min(count_, tiles * (i + 1) / ranges * rules.tile), 0, inner_,
                         sums.data() + i * inner_);
            });
            for (std::size_t i = columns; i < sums.size(); ++i) {
                sums[i % columns] += sums[i];
            }
            kernels::finish_sums(sums.data(), inner_, kind_ == Kind::mean ? count_ : 0,
                                 out + o * inner_, rules);
        }
    }

    void reduce_range(Run& run, std::int64_t o, std::int64_t first, std::int64_t columns) const {
        fp16* out = run.slots[static_cast<std::size_t>(result_)] + o * inner_ + first;
        if (adds()) {
            std::vector<double> sums(static_cast<std::size_t>(columns));
            add_rows(run, o, 0, count_, first, columns, sums.data());
            kernels::finish_sums(sums.data(), columns, kind_ == Kind::mean ? count_ : 0, out,
                                 run.numerics.reduction);
            return;
        }
        for_blocks(run, o, 0, count_, first, columns,
                   [&](const fp16* from, std::int64_t stride, std::int64_t row, std::int64_t rows) {
                       for (std::int64_t r = 0; r < rows; ++r) {
                           // max(x, x) coerces a lone element too
                           kernels::binary(kind_ == Kind::maximum ? kernels::Binary::maximum
                                                                  : kernels::Binary::minimum,
                                           row + r == 0 ? from : out, false, from + r * stride,
                                           false, out, columns, run.numerics.elementwise);
                       }
                   });
    }

    /// Adds the rows [begin, end), from the first of a tile on, to the sums of `columns` columns.
    void add_rows(Run& run, std::int64_t o, std::int64_t begin, std::int64_t end,
                  std::int64_t first, std::int64_t columns, double* sums) const {
        for_blocks(
            run, o, begin, end, first, columns,
            [&](const fp16* from, std::int64_t stride, std::int64_t, std::int64_t rows) {
                if (squares_) {
                    kernels::add_squares_to_sums(from, stride, rows, columns, run.numerics, sums);
                } else {
                    kernels::add_to_sums(from, stride, rows, columns, run.numerics.reduction, sums);
                }
            });
    }

    /// Calls use(first element, stride, first row, rows) for some whole tiles of rows at a time.
    template <typename Use>
    void for_blocks(Run& run, std::int64_t o, std::int64_t begin, std::int64_t end,
                    std::int64_t first, std::int64_t columns, Use use) const {
        const std::int64_t tile = run.numerics.reduction.tile;
        // From memory, where rows that lie far apart are slow to begin, long pieces of many rows,
        // fetched while those before are summed; of a chain what stays in the nearest cache.
        const std::int64_t elements = chain_ == nullptr ? 1 << 15 : 1 << 13;
        const std::int64_t rows = std::max<std::int64_t>(1, elements / columns / tile) * tile;
        std::vector<fp16> block, buffers;
        for (std::int64_t k = begin; k < end; k += rows) {
            const std::int64_t some = std::min(rows, end - k);
            const std::int64_t at = (o * count_ + k) * inner_ + first;
            if (chain_ == nullptr) {
                use(run.slots[static_cast<std::size_t>(x_)] + at, inner_, k, some);
                continue;
            }
            if (columns == inner_) {  // rows that follow each other
                use(rows_of(run, at, some * columns, block, buffers), columns, k, some);
                continue;
            }
            block.resize(static_cast<std::size_t>(some * columns));
            for (std::int64_t r = 0; r < some; ++r) {
                const std::int64_t row = at + r * inner_;
                chain_->evaluate(run, row, row + columns, buffers, block.data() + r * columns,
                                 row + inner_);
            }
            use(block.data(), columns, k, some);
        }
    }

    const fp16* rows_of(Run& run, std::int64_t at, std::int64_t elements, std::vector<fp16>& block,
                        std::vector<fp16>& buffers) const {
        if (chain_ == nullptr) {
            return run.slots[static_cast<std::size_t>(x_)] + at;
        }
        block.resize(static_cast<std::size_t>(elements));
        chain_->evaluate(run, at, at + elements, buffers, block.data(), at + elements);
        return block.data();
    }

    Kind kind_;
    bool squares_ = false;  ///< of x are summed
    int x_, result_;
    std::int64_t outer_, count_, inner_;
    std::optional<RowForm> rows_;
    std::shared_ptr<const Chain> chain_;
};

/// x reduced along the op's axes into `result`: the axes in runs of neighbours, the last run first;
/// each run is one reduction of the engine.
void add_reduction(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments,
                   Kind kind, const Place& x, int result) {
    std::vector<bool> reduced(static_cast<std::size_t>(x.shape.rank()), !arguments.has("axes"));
    if (arguments.has("axes")) {
        for (const std::int64_t axis : arguments.integers("axes")) {
            reduced[static_cast<std::size_t>(axis < 0 ? axis + x.shape.rank() : axis)] = true;
        }
    }
    struct Group {
        std::int64_t outer = 1, count = 1, inner = 1;
    };
    std::vector<Group> groups;
    std::vector<std::int64_t> sizes = x.shape.sizes();
    for (int last = x.shape.rank() - 1; last >= 0; --last) {
        if (!reduced[static_cast<std::size_t>(last)]) {
            continue;
        }
        int first = last;
        while (first > 0 && reduced[static_cast<std::size_t>(first - 1)]) {
            --first;
        }
        Group group;
        for (int axis = 0; axis < x.shape.rank(); ++axis) {
            auto& size = sizes[static_cast<std::size_t>(axis)];
            (axis < first ? group.outer : axis > last ? group.inner : group.count) *= size;
            if (axis >= first && axis <= last) {
                size = 1;
            }
        }
        groups.push_back(group);
        last = first;
    }
    int from = x.slot;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        const Group& group = groups[i];
        const int to = i + 1 == groups.size() ? result : plan.scratch(group.outer * group.inner);
        plan.touch(from);
        plan.touch(to);
        plan.add(
            std::make_unique<ReduceStep>(kind, from, to, group.outer, group.count, group.inner));
        from = to;
    }
    if (groups.empty()) {
        Plan::refuse(operation, "there is no axis to reduce");
    }
}

template <Kind kind>
void make_reduce(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    add_reduction(plan, operation, arguments, kind, x, plan.result(operation).slot);
}

/// exp by table, a sum, log by table; without subtracting the maximum.
void make_log_sum_exp(Plan& plan, const mil::Operation& operation,
                      const mil::Arguments& arguments) {
    const Numerics& numerics = plan.numerics();
    const Place x = plan.operand(arguments, "x"), result = plan.result(operation);
    const std::int64_t count = x.shape.elements(), kept = result.shape.elements();
    const Place powers{plan.scratch(count), x.shape};
    const auto exp = plan.table(
        "exp", [&](fp16 value) { return chip::evaluate(chip::Function::exp, value, numerics); });
    plan.add(std::make_unique<UnaryStep>(exp, x.slot, powers.slot, count));
    const int sum = plan.scratch(kept);
    add_reduction(plan, operation, arguments, Kind::sum, powers, sum);
    const auto log = plan.table("log of exponentials", [&](fp16 value) {
        return chip::log_of_exponentials(value, numerics);
    });
    plan.touch(sum);
    plan.touch(result.slot);
    plan.add(std::make_unique<UnaryStep>(log, sum, result.slot, kept));
}

/// Softmax over the last axis of [rows, columns].
class SoftmaxStep final : public Step {
  public:
    SoftmaxStep(int x, int result, std::int64_t rows, std::int64_t columns,
                std::shared_ptr<const kernels::SoftmaxTables> tables)
        : x_(x), result_(result), rows_(rows), columns_(columns), tables_(std::move(tables)) {
        form_ = {x,
                 result,
                 rows,
                 columns,
                 true,
                 [columns, tables = tables_](const fp16* from, fp16* to, std::int64_t some,
                                             const Numerics& numerics) {
                     kernels::softmax_rows(from, to, some, columns, *tables, numerics);
                 },
                 {}};
    }

    const RowForm* rows() const override { return &form_; }
    int streamed() const override { return x_; }
    void read_from(std::shared_ptr<const Chain> chain) override { chain_ = std::move(chain); }

    void run(Run& run) const override {
        fp16* out = run.slots[static_cast<std::size_t>(result_)];
        const std::int64_t rows =
            std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, columns_));
        run.pool.for_blocks(rows_, rows, [&](std::int64_t begin, std::int64_t end, int) {
            if (chain_ == nullptr) {
                const fp16* x = run.slots[static_cast<std::size_t>(x_)];
                kernels::softmax_rows(x + begin * columns_, out + begin * columns_, end - begin,
                                      columns_, *tables_, run.numerics);
                return;
            }
            std::vector<fp16> buffers;
            for (std::int64_t row = begin; row < end; row += rows) {
                const std::int64_t some = std::min(rows, end - row), at = row * columns_;
                // The row's own place in the result holds it until it is overwritten.
                chain_->evaluate(run, at, at + some * columns_, buffers, out + at,
                                 at + some * columns_);
                kernels::softmax_rows(out + at, out + at, some, columns_, *tables_, run.numerics);
            }
        });
    }

  private:
    int x_, result_;
    std::int64_t rows_, columns_;
    std::shared_ptr<const kernels::SoftmaxTables> tables_;
    RowForm form_;
    std::shared_ptr<const Chain> chain_;
};

/// Softmax over the middle axis of [outer, count, inner].
class SoftmaxColumnsStep final : public Step {
  public:
    SoftmaxColumnsStep(int x, int result, std::int64_t outer, std::int64_t count,
                       std::int64_t inner, std::shared_ptr<const kernels::SoftmaxTables> tables)
        : x_(x),
          result_(result),
          outer_(outer),
          count_(count),
          inner_(inner),
          tables_(std::move(tables)) {}

    void run(Run& run) const override {
        const fp16* x = run.slots[static_cast<std::size_t>(x_)];
        fp16* out = run.slots[static_cast<std::size_t>(result_)];
        constexpr std::int64_t narrowest = 64;  // columns of a part: 128 bytes a row
        const std::int64_t parts = (inner_ + narrowest - 1) / narrowest;
        const std::int64_t grain = std::max<std::int64_t>(1, 4096 / (count_ * narrowest));
        run.pool.for_blocks(outer_ * parts, grain, [&](std::int64_t begin, std::int64_t end, int) {
            while (begin < end) {
                // Neighbouring parts of one outer index are one range.
                const std::int64_t o = begin / parts, stop = std::min(end, (o + 1) * parts);
                const std::int64_t first = begin % parts * narrowest;
                const std::int64_t last = std::min(inner_, (stop - o * parts) * narrowest);
                const std::int64_t at = o * count_ * inner_ + first;
                kernels::softmax_columns(x + at, out + at, count_, last - first, inner_, *tables_,
                                         run.numerics);
                begin = stop;
            }
        });
    }

  private:
    int x_, result_;
    std::int64_t outer_, count_, inner_;
    std::shared_ptr<const kernels::SoftmaxTables> tables_;
};

void make_softmax(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    const auto given = arguments.integer("axis");
    const int axis = static_cast<int>(given < 0 ? given + x.shape.rank() : given);
    std::int64_t outer = 1, inner = 1;
    const std::int64_t count = x.shape[axis];
    for (int i = 0; i < x.shape.rank(); ++i) {
        (i < axis ? outer : i > axis ? inner : outer) *= i == axis ? 1 : x.shape[i];
    }
    const auto tables = plan.softmax_tables();
    const Place result = plan.result(operation);
    if (inner == 1) {
        plan.add(std::make_unique<SoftmaxStep>(x.slot, result.slot, outer, count, tables));
        return;
    }
    plan.add(
        std::make_unique<SoftmaxColumnsStep>(x.slot, result.slot, outer, count, inner, tables));
}

}  // namespace

std::shared_ptr<const kernels::SoftmaxTables> Plan::softmax_tables() {
    if (!tables_.softmax) {
        const Numerics& numerics = numerics_;
        tables_.softmax = std::make_shared<kernels::SoftmaxTables>(kernels::SoftmaxTables{
            kernels::UnaryTable([&](fp16 x) { return chip::softmax_exp(x, numerics); }),
            kernels::UnaryTable([&](fp16 x) { return chip::softmax_reciprocal(x, numerics); })});
    }
    return tables_.softmax;
}

Makers reduction_makers() {
    return {{"reduce_sum", make_reduce<Kind::sum>},     {"reduce_mean", make_reduce<Kind::mean>},
            {"reduce_max", make_reduce<Kind::maximum>}, {"reduce_min", make_reduce<Kind::minimum>},
            {"reduce_log_sum_exp", make_log_sum_exp},   {"softmax", make_softmax}};
}

}  // namespace pome::device::emulator
