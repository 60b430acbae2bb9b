// Reductions and softmax.
#include <algorithm>

#include "device/emulator/elementwise.h"
#include "kernels/layout.h"
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
        : kind_(kind), x_(x), result_(result), outer_(outer), count_(count), inner_(inner) {}

    void run(Run& run) const override {
        const fp16* x = run.slots[static_cast<std::size_t>(x_)];
        fp16* out = run.slots[static_cast<std::size_t>(result_)];
        const Numerics& numerics = run.numerics;
        run.pool.for_ranges(
            outer_, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, count_ * inner_)),
            [&](std::int64_t begin, std::int64_t end, int) {
                const fp16* from = x + begin * count_ * inner_;
                fp16* to = out + begin * inner_;
                const std::int64_t rows = end - begin;
                switch (kind_) {
                    case Kind::sum:
                        kernels::reduce_sum(from, to, rows, count_, inner_, numerics.reduction);
                        break;
                    case Kind::mean:
                        kernels::reduce_mean(from, to, rows, count_, inner_, numerics.reduction);
                        break;
                    case Kind::maximum:
                        kernels::reduce_max(from, to, rows, count_, inner_, numerics.elementwise);
                        break;
                    case Kind::minimum:
                        kernels::reduce_min(from, to, rows, count_, inner_, numerics.elementwise);
                        break;
                }
            });
    }

  private:
    Kind kind_;
    int x_, result_;
    std::int64_t outer_, count_, inner_;
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
        : x_(x), result_(result), rows_(rows), columns_(columns), tables_(std::move(tables)) {}

    void run(Run& run) const override {
        const fp16* x = run.slots[static_cast<std::size_t>(x_)];
        fp16* out = run.slots[static_cast<std::size_t>(result_)];
        run.pool.for_ranges(
            rows_, std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, columns_)),
            [&](std::int64_t begin, std::int64_t end, int) {
                kernels::softmax_rows(x + begin * columns_, out + begin * columns_, end - begin,
                                      columns_, *tables_, run.numerics);
            });
    }

  private:
    int x_, result_;
    std::int64_t rows_, columns_;
    std::shared_ptr<const kernels::SoftmaxTables> tables_;
};

class SwapLastStep final : public Step {
  public:
    SwapLastStep(int x, int result, std::int64_t outer, std::int64_t rows, std::int64_t columns)
        : x_(x), result_(result), outer_(outer), rows_(rows), columns_(columns) {}

    void run(Run& run) const override {
        kernels::permute(run.slots[static_cast<std::size_t>(x_)],
                         run.slots[static_cast<std::size_t>(result_)], {outer_, rows_, columns_},
                         {0, 2, 1});
    }

  private:
    int x_, result_;
    std::int64_t outer_, rows_, columns_;
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
    const int turned = plan.scratch(x.shape.elements()), soft = plan.scratch(x.shape.elements());
    const auto add = [&](std::unique_ptr<Step> step, int from, int to) {
        plan.touch(from);
        plan.touch(to);
        plan.add(std::move(step));
    };
    add(std::make_unique<SwapLastStep>(x.slot, turned, outer, count, inner), x.slot, turned);
    add(std::make_unique<SoftmaxStep>(turned, soft, outer * inner, count, tables), turned, soft);
    add(std::make_unique<SwapLastStep>(soft, result.slot, outer, inner, count), soft, result.slot);
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
