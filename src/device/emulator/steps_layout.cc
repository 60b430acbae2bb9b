// Ops that move values without changing them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "device/emulator/elementwise.h"
#include "device/emulator/moves.h"
#include "kernels/layout.h"
#include "reference/chip/slice.h"

namespace pome::device::emulator {
namespace {

/// A box of one tensor copied into a box of another, both given by strides.
class CopyStep final : public Step {
  public:
    struct Box {
        std::int64_t from = 0, to = 0;  // element offsets
        std::vector<std::int64_t> sizes, from_strides, to_strides;
    };
    CopyStep(int source, int target, Box box)
        : source_(source), target_(target), box_(std::move(box)) {
        merge();
    }

    void run(Run& run) const override {
        const fp16* from = run.slots[static_cast<std::size_t>(source_)] + box_.from;
        fp16* to = run.slots[static_cast<std::size_t>(target_)] + box_.to;
        copy(from, to, 0);
    }

  private:
    /// Joins neighbouring axes that lie densely in both tensors, so that runs are long.
    void merge() {
        for (std::size_t axis = box_.sizes.size(); axis-- > 1;) {
            const bool joined =
                box_.from_strides[axis - 1] == box_.from_strides[axis] * box_.sizes[axis] &&
                box_.to_strides[axis - 1] == box_.to_strides[axis] * box_.sizes[axis];
            if (!joined && box_.sizes[axis - 1] != 1) {
                continue;
            }
            if (box_.sizes[axis - 1] != 1) {
                box_.sizes[axis] *= box_.sizes[axis - 1];
            }
            for (auto* list : {&box_.sizes, &box_.from_strides, &box_.to_strides}) {
                list->erase(list->begin() + static_cast<std::ptrdiff_t>(axis) - 1);
            }
        }
    }

    void copy(const fp16* from, fp16* to, std::size_t axis) const {
        const std::int64_t size = box_.sizes[axis], in = box_.from_strides[axis],
                           out = box_.to_strides[axis];
        if (axis + 1 == box_.sizes.size()) {
            if (in == 1 && out == 1) {
                std::memcpy(to, from, static_cast<std::size_t>(size) * sizeof(fp16));
            } else {
                for (std::int64_t i = 0; i < size; ++i) {
                    to[i * out] = from[i * in];
                }
            }
            return;
        }
        for (std::int64_t i = 0; i < size; ++i) {
            copy(from + i * in, to + i * out, axis + 1);
        }
    }

    int source_, target_;
    Box box_;
};

/// The axes of a permuted tensor, walked in the order of the result.
class PermuteStep final : public Step {
  public:
    PermuteStep(int source, int target, const std::vector<std::int64_t>& sizes,
                const std::vector<int>& perm)
        : source_(source), target_(target) {
        // Without axes of one element: the threads share the first axis of the result.
        std::vector<int> place(sizes.size(), -1);
        for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
            if (sizes[axis] != 1) {
                place[axis] = static_cast<int>(sizes_.size());
                sizes_.push_back(sizes[axis]);
                elements_ *= sizes[axis];
            }
        }
        for (const int axis : perm) {
            if (const int at = place[static_cast<std::size_t>(axis)]; at >= 0) {
                perm_.push_back(at);
            }
        }
        if (sizes_.empty()) {
            sizes_.push_back(1);
            perm_.push_back(0);
        }
    }

    void run(Run& run) const override {
        constexpr std::int64_t grain = 16384;  // elements a thread takes at least
        const fp16* x = run.slots[static_cast<std::size_t>(source_)];
        fp16* y = run.slots[static_cast<std::size_t>(target_)];
        const std::int64_t first = sizes_[static_cast<std::size_t>(perm_.front())];
        run.pool.for_ranges(first,
                            std::max<std::int64_t>(1, grain * first / std::max(elements_, grain)),
                            [&](std::int64_t begin, std::int64_t end, int) {
                                kernels::permute(x, y, sizes_, perm_, begin, end);
                            });
    }

  private:
    int source_, target_;
    std::int64_t elements_ = 1;
    std::vector<std::int64_t> sizes_;
    std::vector<int> perm_;
};

int axis_of(std::int64_t axis, int rank) {
    return static_cast<int>(axis < 0 ? axis + rank : axis);
}

void make_alias(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    plan.alias(operation, plan.operand(arguments, "x"));
}

void make_cast(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const mil::Type& from = arguments.type("x");
    const mil::Type& to = operation.results[0].type;
    const auto is_float = [](const mil::Type& type) {
        return type.dtype == DType::fp16 || type.dtype == DType::fp32;
    };
    const auto is_small = [](const mil::Type& type) {
        return type.dtype == DType::int8 || type.dtype == DType::uint8 ||
               type.dtype == DType::boolean;
    };
    const auto is_whole = [&](const mil::Type& type) {
        return is_small(type) || type.dtype == DType::int16 || type.dtype == DType::uint16 ||
               type.dtype == DType::int32;
    };
    if ((!is_float(from) && !is_whole(from)) || (!is_float(to) && !is_whole(to))) {
        Plan::refuse(operation, "cast from " + from.text() + " to " + to.text() +
                                    " is not done on the engine");
    }
    if (is_float(to) || from.dtype == to.dtype) {
        // Everything is fp16 inside the engine, integers too.
        plan.alias(operation, plan.operand(arguments, "x"));
        return;
    }
    // Fractions are cut off and what exceeds the type stops at its ends: assumed.
    const Place x = plan.operand(arguments, "x"), result = plan.result(operation);
    const auto table =
        plan.table(std::string("cast ") + std::string(name(to.dtype)), [&](fp16 value) {
            if (to.dtype == DType::boolean) {
                return is_zero(value) ? fp16{0} : fp16{0x3C00};
            }
            const bool is_signed =
                to.dtype == DType::int8 || to.dtype == DType::int16 || to.dtype == DType::int32;
            const double range = std::ldexp(1.0, static_cast<int>(bits(to.dtype)) - is_signed);
            const double low = is_signed ? -range : 0.0;
            const double whole =
                is_nan(value) ? 0.0 : std::trunc(static_cast<double>(to_float(value)));
            return to_fp16(std::clamp(whole, low, range - 1.0) + 0.0, Rounding::nearest_away);
        });
    plan.add_loop([table, x, result](Run& run) {
        table->apply(run.slots[static_cast<std::size_t>(x.slot)],
                     run.slots[static_cast<std::size_t>(result.slot)], result.shape.elements());
    });
}

void make_transpose(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    const Place result = plan.result(operation);
    std::vector<int> perm;
    for (const std::int64_t axis : arguments.integers("perm")) {
        perm.push_back(axis_of(axis, x.shape.rank()));
    }
    plan.add(std::make_unique<PermuteStep>(x.slot, result.slot, x.shape.sizes(), std::move(perm)));
}

void add_box(Plan& plan, const Place& from, std::int64_t from_offset,
             const std::vector<std::int64_t>& from_strides, const Place& to, std::int64_t to_offset,
             const std::vector<std::int64_t>& to_strides, const Shape& sizes) {
    CopyStep::Box box;
    box.from = from_offset, box.to = to_offset;
    box.sizes = sizes.sizes(), box.from_strides = from_strides, box.to_strides = to_strides;
    if (box.sizes.empty()) {
        box.sizes = {1}, box.from_strides = {1}, box.to_strides = {1};
    }
    plan.touch(from.slot);
    plan.touch(to.slot);
    plan.add(std::make_unique<CopyStep>(from.slot, to.slot, std::move(box)));
}

void make_slice_by_size(Plan& plan, const mil::Operation& operation,
                        const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    const Place result = plan.result(operation);
    const auto begin = arguments.integers("begin");
    const auto strides = x.shape.strides();
    const std::int64_t offset =
        std::inner_product(begin.begin(), begin.end(), strides.begin(), std::int64_t{0});
    add_box(plan, x, offset, strides, result, 0, result.shape.strides(), result.shape);
    add_width_gain(plan, result, begin.empty() ? 0 : begin.back());
}

void make_concat(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const auto values = plan.operands(arguments, "values");
    const Place result = plan.result(operation);
    const int axis = axis_of(arguments.integer("axis"), result.shape.rank());
    auto strides = result.shape.strides();
    if (arguments.boolean("interleave")) {  // element i of every value in turn
        const std::int64_t one = strides[static_cast<std::size_t>(axis)];
        strides[static_cast<std::size_t>(axis)] *= static_cast<std::int64_t>(values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            add_box(plan, values[i], 0, values[i].shape.strides(), result,
                    static_cast<std::int64_t>(i) * one, strides, values[i].shape);
        }
        return;
    }
    std::int64_t at = 0;
    for (const Place& value : values) {
        add_box(plan, value, 0, value.shape.strides(), result,
                at * strides[static_cast<std::size_t>(axis)], strides, value.shape);
        at += value.shape[axis];
    }
}

void make_split(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    const int axis = axis_of(arguments.integer("axis"), x.shape.rank());
    const auto strides = x.shape.strides();
    std::int64_t at = 0;
    for (std::size_t i = 0; i < operation.results.size(); ++i) {
        const Place part = plan.result(operation, i);
        add_box(plan, x, at * strides[static_cast<std::size_t>(axis)], strides, part, 0,
                part.shape.strides(), part.shape);
        at += part.shape[axis];
    }
}

/// Zeros around x: the gradient of a slice.
class FillStep final : public Step {
  public:
    FillStep(int target, std::int64_t elements, fp16 value)
        : target_(target), elements_(elements), value_(value) {}
    void run(Run& run) const override {
        std::fill_n(run.slots[static_cast<std::size_t>(target_)], elements_, value_);
    }

  private:
    int target_;
    std::int64_t elements_;
    fp16 value_;
};

void make_pad(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    if (arguments.text("mode") != "constant") {
        add_move_of_x(plan, operation, arguments);
        return;
    }
    const Place x = plan.operand(arguments, "x");
    const Place result = plan.result(operation);
    const auto pad = arguments.integers("pad");
    const auto strides = result.shape.strides();
    const std::size_t first = strides.size() - pad.size() / 2;  // pad names the last axes
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < pad.size() / 2; ++i) {
        offset += pad[2 * i] * strides[first + i];
    }
    plan.add(std::make_unique<FillStep>(
        result.slot, result.shape.elements(),
        to_fp16(arguments.number("constant_val"), Rounding::nearest_even)));
    add_box(plan, x, 0, x.shape.strides(), result, offset, strides, x.shape);
}

void make_tile(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x");
    const Place result = plan.result(operation);
    const auto reps = arguments.integers("reps");
    const auto strides = result.shape.strides();
    std::vector<std::int64_t> offsets{0};
    for (std::size_t axis = 0; axis < reps.size(); ++axis) {
        std::vector<std::int64_t> next;
        for (const std::int64_t offset : offsets) {
            for (std::int64_t i = 0; i < reps[axis]; ++i) {
                next.push_back(offset + i * x.shape[static_cast<int>(axis)] * strides[axis]);
            }
        }
        offsets = std::move(next);
    }
    for (const std::int64_t offset : offsets) {
        add_box(plan, x, 0, x.shape.strides(), result, offset, strides, x.shape);
    }
}

}  // namespace

void add_width_gain(Plan& plan, const Place& slice, std::int64_t width_begin) {
    if (!plan.numerics().slice.width_gain || width_begin == 0) {
        return;
    }
    plan.touch(slice.slot);
    plan.add(std::make_unique<UnaryStep>(plan.table("width_gain", reference::chip::width_gain),
                                         slice.slot, slice.slot, slice.shape.elements()));
}

Makers layout_makers() {
    return {{"reshape", make_alias},
            {"expand_dims", make_alias},
            {"squeeze", make_alias},
            {"identity", make_alias},
            {"cast", make_cast},
            {"transpose", make_transpose},
            {"slice_by_size", make_slice_by_size},
            {"concat", make_concat},
            {"split", make_split},
            {"pad", make_pad},
            {"tile", make_tile}};
}

}  // namespace pome::device::emulator
