#pragma once

#include <cstdint>
#include <string_view>

namespace pome::device {

/// What a chip itself does with a program that breaks one of its rules.
enum class Reaction : std::uint8_t {
    works,     ///< a hazard only: slower, less precise, or right for small values
    refused,   ///< does not compile
    failed,    ///< compiles; every evaluation fails with status 0x1d
    zeros,     ///< an evaluation reports success and leaves zeros
    ignored,   ///< an evaluation reports success; the argument at fault has no effect
    poisoned,  ///< evaluations fail with status 0x1d, and so does every later one in the process
};

/// "works", "refused", ...
std::string_view name(Reaction reaction);

/// How far a device goes along with programs that the chip would get silently wrong.
enum class Strictness : std::uint8_t {
    strict,       ///< every silent failure is an error that names the rule, before anything runs
    as_hardware,  ///< what the chip does, silence included
};

/// How a chip, route or system treats what its documentation forbids. Defaults: nothing fails.
struct Failures {
    Reaction short_row = Reaction::works;      ///< rows of fewer than SurfaceRules::row_bytes
    Reaction unaligned_row = Reaction::works;  ///< longer rows that are no multiple of it
    Reaction unequal_sizes = Reaction::works;  ///< surfaces of different allocation
    Reaction order = Reaction::works;  ///< inputs or outputs not declared in the order of names
    Reaction tile = Reaction::works;
    Reaction runtime_conv_weight = Reaction::works;  ///< a conv whose weight is no constant
    Reaction grouped_runtime_conv = Reaction::works;
    Reaction attention_mask = Reaction::works;
    Reaction inner_multiple = Reaction::works;     ///< Limits::matmul_inner_multiple broken
    Reaction channel_broadcast = Reaction::works;  ///< [1, C, 1] against [1, C, S]
    Reaction batch_broadcast = Reaction::works;    ///< a mul that repeats an operand along axis 0
    Reaction rounding_scale = Reaction::works;     ///< a scalar mul right after floor, ceil, round
    Reaction width_slices = Reaction::works;       ///< concat of several slices along the width
    Reaction last_axis_gather = Reaction::works;
    bool budget_reclaimed = false;  ///< releasing a program gives its compile back
};

}  // namespace pome::device
