// Ops that take or give indices. Indices live as the halves that they are: exact below 2048, as
// spec.md 2.3.13 says of the engine's.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/emulator/moves.h"
#include "reference/chip/elementwise.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

int axis_of(const mil::Arguments& arguments, int rank) {
    const std::int64_t axis = arguments.integer("axis");
    return static_cast<int>(axis < 0 ? axis + rank : axis);
}

/// x seen as [outer, count, inner] around an axis.
struct Lines {
    std::int64_t outer = 1, count = 1, inner = 1;
    Lines(const Shape& shape, int axis) : count(shape[axis]) {
        for (int i = 0; i < shape.rank(); ++i) {
            if (i != axis) {
                (i < axis ? outer : inner) *= shape[i];
            }
        }
    }
};

/// An index that is not in [-size, size) stops at the nearest end: assumed; the guide only says
/// that bad indices are not reported.
std::int64_t place(fp16 index, std::int64_t size) {
    const float value = is_nan(index) ? static_cast<float>(size) : to_float(index);
    const auto limit = static_cast<float>(size);
    const auto at = static_cast<std::int64_t>(std::clamp(value, -limit, limit));
    return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size - 1);
}

void make_gather(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    if (plan.elements(arguments, "indices")) {  // known indices: a move
        add_move_of_x(plan, operation, arguments);
        return;
    }
    const Place x = plan.operand(arguments, "x"), indices = plan.operand(arguments, "indices"),
                result = plan.result(operation);
    const int axis = axis_of(arguments, x.shape.rank());
    const auto batch = static_cast<int>(arguments.integer("batch_dims"));
    const auto product = [](const Shape& shape, int first, int last) {
        std::int64_t size = 1;
        for (int i = first; i < last; ++i) {
            size *= shape[i];
        }
        return size;
    };
    const std::int64_t batches = product(x.shape, 0, batch), outer = product(x.shape, batch, axis),
                       count = x.shape[axis], inner = product(x.shape, axis + 1, x.shape.rank()),
                       picked = product(indices.shape, batch, indices.shape.rank());
    plan.add_loop([=](Run& run) {
        const fp16* from = run.slots[static_cast<std::size_t>(x.slot)];
        const fp16* at = run.slots[static_cast<std::size_t>(indices.slot)];
        fp16* to = run.slots[static_cast<std::size_t>(result.slot)];
        for (std::int64_t b = 0; b < batches; ++b) {
            for (std::int64_t o = 0; o < outer; ++o) {
                for (std::int64_t i = 0; i < picked; ++i) {
                    const std::int64_t row =
                        (b * outer + o) * count + place(at[b * picked + i], count);
                    to = std::copy_n(from + row * inner, inner, to);
                }
            }
        }
    });
}

void make_gather_along_axis(Plan& plan, const mil::Operation& operation,
                            const mil::Arguments& arguments) {
    if (plan.elements(arguments, "indices")) {
        add_move_of_x(plan, operation, arguments);
        return;
    }
    const Place x = plan.operand(arguments, "x"), indices = plan.operand(arguments, "indices"),
                result = plan.result(operation);
    const int axis = axis_of(arguments, x.shape.rank());
    const Lines from(x.shape, axis), to(indices.shape, axis);
    plan.add_loop([=](Run& run) {
        const fp16* values = run.slots[static_cast<std::size_t>(x.slot)];
        const fp16* at = run.slots[static_cast<std::size_t>(indices.slot)];
        fp16* out = run.slots[static_cast<std::size_t>(result.slot)];
        for (std::int64_t i = 0; i < indices.shape.elements(); ++i) {
            const std::int64_t inner = i % to.inner, outer = i / to.inner / to.count;
            out[i] = values[(outer * from.count + place(at[i], from.count)) * from.inner + inner];
        }
    });
}

void make_gather_nd(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    if (!plan.elements(arguments, "indices")) {
        Plan::refuse(operation, "indices must be known when the program is compiled");
    }
    add_move_of_x(plan, operation, arguments);
}

/// The order of a line: equals keep theirs, NaN counts as +inf where it is coerced.
void sort_line(const fp16* line, std::int64_t stride, bool ascending,
               const Numerics::Elementwise& rules, std::vector<std::int64_t>& order) {
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        const double x = chip::load(line[a * stride], rules),
                     y = chip::load(line[b * stride], rules);
        return ascending ? x < y : x > y;
    });
}

/// Values and indices of the first k in order, where the op gives them (slot -1: it does not).
void add_sort(Plan& plan, const mil::Arguments& arguments, const Place& x, int values, int indices,
              std::int64_t k, bool ascending) {
    const Lines lines(x.shape, axis_of(arguments, x.shape.rank()));
    plan.touch(x.slot);
    plan.add_loop([=](Run& run) {
        const fp16* from = run.slots[static_cast<std::size_t>(x.slot)];
        std::vector<std::int64_t> order(static_cast<std::size_t>(lines.count));
        for (std::int64_t line = 0; line < lines.outer * lines.inner; ++line) {
            const std::int64_t outer = line / lines.inner, inner = line % lines.inner;
            const fp16* start = from + outer * lines.count * lines.inner + inner;
            sort_line(start, lines.inner, ascending, run.numerics.elementwise, order);
            for (std::int64_t i = 0; i < k; ++i) {
                const std::int64_t at = (outer * k + i) * lines.inner + inner;
                const std::int64_t taken = order[static_cast<std::size_t>(i)];
                if (values >= 0) {
                    run.slots[static_cast<std::size_t>(values)][at] = start[taken * lines.inner];
                }
                if (indices >= 0) {
                    run.slots[static_cast<std::size_t>(indices)][at] =
                        to_fp16(static_cast<float>(taken), Rounding::nearest_away);
                }
            }
        }
    });
}

void make_topk(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const std::int64_t k = arguments.integer("k");
    if (k == 3 || k == 4) {
        Plan::refuse(operation, "k of 3 and 4 fail on every chip; take k = 5 and slice");
    }
    const Place x = plan.operand(arguments, "x");
    const int values = plan.result(operation).slot;
    const int indices = operation.results.size() > 1 ? plan.result(operation, 1).slot : -1;
    add_sort(plan, arguments, x, values, indices, k, arguments.boolean("ascending"));
}

void make_argsort(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    const int axis = axis_of(arguments, x.shape.rank());
    add_sort(plan, arguments, x, -1, plan.result(operation).slot, x.shape[axis],
             arguments.boolean("ascending"));
}

template <bool smallest>
void make_extreme(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    add_sort(plan, arguments, x, -1, plan.result(operation).slot, 1, smallest);
}

}  // namespace

Makers indexing_makers() {
    return {{"gather", make_gather},
            {"gather_along_axis", make_gather_along_axis},
            {"gather_nd", make_gather_nd},
            {"topk", make_topk},
            {"argsort", make_argsort},
            {"reduce_argmax", make_extreme<false>},
            {"reduce_argmin", make_extreme<true>}};
}

}  // namespace pome::device::emulator
