// Ops that move elements in ways that strides do not tell: each is a map from places of the result
// to places of its operands, read off the op's meaning once when the program is compiled.
#include <limits>
#include <numeric>

#include "device/emulator/moves.h"

namespace pome::device::emulator {
namespace {

constexpr std::int64_t grain = 16384;

/// Operands laid behind one another are numbered 1, 2, ...; 0 is what is no element of any.
struct Numbered {
    Place place;
    std::int64_t first;
};

void make_move(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments,
               std::initializer_list<std::string_view> names, fp16 other) {
    std::list<reference::Tensor> numbers;
    std::map<std::string, mil::Known> replaced;
    std::vector<Numbered> operands;
    std::int64_t next = 1;
    mil::Operation renamed = operation;  // literals as operands get a name to be numbered by
    for (const auto name : names) {
        const mil::Type& type = arguments.type(name);
        numbers.emplace_back(type.shape);
        std::iota(numbers.back().data.begin(), numbers.back().data.end(),
                  static_cast<double>(next));
        operands.push_back({plan.operand(arguments, name), next});
        next += type.shape.elements();
        for (auto& argument : renamed.arguments) {
            if (argument.name == name) {
                const std::string own = "operand " + std::string(name);
                argument.operands = {own};
                replaced[own] = {type, nullptr, &numbers.back()};
            }
        }
    }
    if (next > std::numeric_limits<std::int32_t>::max()) {
        Plan::refuse(operation, "moves more than 2^31 elements");
    }
    const mil::Arguments numbered = plan.arguments_with(renamed, replaced);
    const auto results = mil::find_schema(operation.op)->evaluate(numbered);
    const Place result = plan.result(operation);
    std::vector<std::int32_t> map;
    for (const double place : results.front().data) {
        map.push_back(static_cast<std::int32_t>(place));
    }
    for (const Numbered& operand : operands) {
        plan.touch(operand.place.slot);
    }
    plan.add_loop([map = std::move(map), operands, target = result.slot, other](Run& run) {
        fp16* out = run.slots[static_cast<std::size_t>(target)];
        run.pool.for_ranges(static_cast<std::int64_t>(map.size()), grain,
                            [&](std::int64_t begin, std::int64_t end, int) {
                                for (std::int64_t i = begin; i < end; ++i) {
                                    const std::int32_t from = map[static_cast<std::size_t>(i)];
                                    const Numbered* owner = nullptr;  // the last that begins before
                                    for (const Numbered& operand : operands) {
                                        owner = from >= operand.first ? &operand : owner;
                                    }
                                    out[i] =
                                        owner == nullptr
                                            ? other
                                            : run.slots[static_cast<std::size_t>(owner->place.slot)]
                                                       [from - owner->first];
                                }
                            });
    });
}

void make_move_of_x(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    make_move(plan, operation, arguments, {"x"}, fp16{0});
}

void make_slice_update(Plan& plan, const mil::Operation& operation,
                       const mil::Arguments& arguments) {
    make_move(plan, operation, arguments, {"x", "update"}, fp16{0});
}

void make_crop(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    make_move_of_x(plan, operation, arguments);
    add_width_gain(plan, plan.place(operation.results[0].name),
                   arguments.integers("crop_width").front());
}

void make_slice_by_index(Plan& plan, const mil::Operation& operation,
                         const mil::Arguments& arguments) {
    make_move_of_x(plan, operation, arguments);
    const int last = arguments.type("x").shape.rank() - 1;
    const auto masked = [&](const char* name) {
        return arguments.has(name) && arguments.booleans(name)[static_cast<std::size_t>(last)] != 0;
    };
    const std::int64_t begin = arguments.integers("begin")[static_cast<std::size_t>(last)];
    const std::int64_t stride =
        arguments.has("stride") ? arguments.integers("stride")[static_cast<std::size_t>(last)] : 1;
    const std::int64_t size = arguments.type("x").shape[last];
    const std::int64_t at = begin < 0 ? begin + size : begin;
    add_width_gain(plan, plan.place(operation.results[0].name),
                   masked("begin_mask") ? (stride < 0 ? size - 1 : 0) : at);
}

void make_view(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    plan.alias(operation, plan.operand(arguments, "x"));
}

}  // namespace

void add_move_of_x(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    make_move_of_x(plan, operation, arguments);
}

Makers rearranging_makers() {
    return {{"reverse", make_move_of_x},
            {"depth_to_space", make_move_of_x},
            {"space_to_depth", make_move_of_x},
            {"pixel_shuffle", make_move_of_x},
            {"pixel_unshuffle", make_move_of_x},
            {"space_to_batch", make_move_of_x},
            {"batch_to_space", make_move_of_x},
            {"crop", make_crop},
            {"slice_by_index", make_slice_by_index},
            {"slice_update", make_slice_update},
            {"resize_nearest_neighbor", make_move_of_x},
            {"upsample_nearest_neighbor", make_move_of_x},
            {"flatten2d", make_view},
            {"reshape_like", make_view}};
}

}  // namespace pome::device::emulator
