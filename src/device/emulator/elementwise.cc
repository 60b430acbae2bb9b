#include "device/emulator/elementwise.h"

#include <algorithm>

namespace pome::device::emulator {
namespace {

constexpr std::int64_t slow_grain = 1024;  // of a scalar function

}  // namespace

UnaryStep::UnaryStep(std::shared_ptr<const kernels::UnaryTable> table, int x, int result,
                     std::int64_t elements)
    : ElementwiseStep({x,
                       -1,
                       result,
                       {1, elements},
                       {},
                       elements,
                       [table = std::move(table)](
                           const fp16* from, bool, const fp16*, bool, fp16* out, std::int64_t count,
                           const Numerics::Elementwise&) { table->apply(from, out, count); }}) {}

void expect_no_integers(const mil::Operation& operation, const mil::Arguments& arguments,
                        std::string_view name) {
    const mil::Type& type = arguments.type(name);
    if (is_integer(type.dtype)) {
        Plan::refuse(operation, fmt::format("Param '{}' got {}: integers feed cast and dequantize "
                                            "only; use one of them first",
                                            name, type.text()));
    }
}

std::vector<std::int64_t> broadcast_strides(const Shape& shape, int rank) {
    std::vector<std::int64_t> result(static_cast<std::size_t>(rank), 0);
    const auto own = shape.strides();
    for (int axis = 0; axis < shape.rank(); ++axis) {
        if (shape[axis] != 1) {
            result[static_cast<std::size_t>(rank - shape.rank() + axis)] =
                own[static_cast<std::size_t>(axis)];
        }
    }
    return result;
}

void add_broadcast(Plan& plan, const std::vector<Place>& operands, const Place& result,
                   ElementFunction function) {
    struct Walked {
        int slot;
        std::vector<std::int64_t> strides;
    };
    std::vector<Walked> walked;
    for (const Place& operand : operands) {
        plan.touch(operand.slot);
        walked.push_back({operand.slot, broadcast_strides(operand.shape, result.shape.rank())});
    }
    plan.touch(result.slot);
    plan.add_loop([walked, function, target = result.slot, sizes = result.shape.sizes(),
                   elements = result.shape.elements()](Run& run) {
        fp16* out = run.slots[static_cast<std::size_t>(target)];
        run.pool.for_blocks(elements, slow_grain, [&](std::int64_t begin, std::int64_t end, int) {
            Elements in{};
            for (std::int64_t i = begin; i < end; ++i) {
                for (std::size_t o = 0; o < walked.size(); ++o) {
                    std::int64_t rest = i, at = 0;
                    for (std::size_t axis = sizes.size(); axis-- > 0;) {
                        at += rest % sizes[axis] * walked[o].strides[axis];
                        rest /= sizes[axis];
                    }
                    in[o] = run.slots[static_cast<std::size_t>(walked[o].slot)][at];
                }
                out[i] = function(in, run.numerics);
            }
        });
    });
}

void add_broadcast(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments,
                   const std::vector<std::string_view>& names, ElementFunction function) {
    std::vector<Place> operands;
    for (const auto name : names) {
        expect_no_integers(operation, arguments, name);
        operands.push_back(plan.operand(arguments, name));
    }
    add_broadcast(plan, operands, plan.result(operation), function);
}

}  // namespace pome::device::emulator
