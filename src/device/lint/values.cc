// Ranks and sizes of values.
#include "device/lint/rules.h"

namespace pome::device::linting {
namespace {

/// Visits every tensor that lives on the engine: parameters and results, constants left out.
template <typename Visit>
void for_values(const Lint& lint, Visit visit) {
    const auto& function = lint.view.function();
    const auto look = [&](const mil::NamedType& value, int line) {
        if (value.type.is_tensor() && value.type.dtype != DType::string) {
            visit(value, line);
        }
    };
    for (const auto& parameter : function.parameters) {
        look(parameter, function.position.line);
    }
    for (const auto& operation : function.operations) {
        if (operation.op != "const" && !operation.op.starts_with("constexpr_")) {
            for (const auto& result : operation.results) {
                look(result, operation.position.line);
            }
        }
    }
}

void static_shape(Lint& lint) {
    for_values(lint, [&](const mil::NamedType& value, int line) {
        if (!value.type.shape.is_static()) {
            lint.report(Reaction::refused, line, value.name,
                        fmt::format("{} has unknown sizes: Not implemented: {}", value.type.text(),
                                    no_backend),
                        "export the program with static shapes");
        }
    });
}

void empty_axis(Lint& lint) {
    for_values(lint, [&](const mil::NamedType& value, int line) {
        Shape wanted = value.type.shape;
        for (int axis = 0; axis < wanted.rank(); ++axis) {
            wanted[axis] = wanted[axis] == 0 ? 1 : wanted[axis];
        }
        if (wanted != value.type.shape) {
            const auto text = [&](const Shape& shape) {
                return fmt::format("tensor<{},{}>", name(value.type.dtype), shape.text());
            };
            lint.report(Reaction::refused, line, value.name,
                        fmt::format("Expected {}; got {}", text(wanted), text(value.type.shape)),
                        "give every axis one element at least");
        }
    });
}

void max_rank(Lint& lint) {
    const std::int64_t most = lint.profile.limits.max_rank;
    for_values(lint, [&](const mil::NamedType& value, int line) {
        if (most > 0 && value.type.shape.rank() > most) {
            lint.report(Reaction::refused, line, value.name,
                        fmt::format("tensor rank {} exceeds the ANE maximum of {}",
                                    value.type.shape.rank(), most),
                        "merge axes with reshape");
        }
    });
}

/// The largest size of an axis: of [N, C, ..] batch and channels have limits of their own.
void axis_sizes(Lint& lint, bool batch, bool channels) {
    const Limits& limits = lint.profile.limits;
    for_values(lint, [&](const mil::NamedType& value, int line) {
        const Shape& shape = value.type.shape;
        for (int axis = 0; axis < shape.rank(); ++axis) {
            const bool is_batch = shape.rank() >= 4 && axis == 0,
                       is_channels = shape.rank() >= 4 && axis == 1;
            if (is_batch != batch || is_channels != channels) {
                continue;
            }
            const std::int64_t most = is_batch      ? limits.max_batch
                                      : is_channels ? limits.max_channels
                                                    : limits.max_width;
            if (most > 0 && shape[axis] > most) {
                lint.report(
                    Reaction::refused, line, value.name,
                    fmt::format("axis {} of {} exceeds ANE family {}'s max dimension {}: {}", axis,
                                value.type.text(), limits.family_number, most, shape[axis]),
                    "split the axis into several values");
            }
        }
    });
}

void max_width(Lint& lint) {
    axis_sizes(lint, false, false);
}
void max_channels(Lint& lint) {
    axis_sizes(lint, false, true);
}
void max_batch(Lint& lint) {
    axis_sizes(lint, true, false);
}

}  // namespace

Rules value_rules() {
    return {
        {"static_shape", "every size is known when the program is compiled",
         "ane-guide ch. 8: '?' parses, then fails to lower", static_shape, nullptr, true},
        {"empty_axis", "no axis has size 0", "ane-guide ch. 4, on M1", empty_axis, nullptr, true},
        {"max_rank", "values have at most limits.max_rank axes", "limits.max_rank", max_rank},
        {"max_width",
         "axes have at most limits.max_width elements; those of batch and channels of a rank-4 or "
         "rank-5 value aside",
         "limits.max_width", max_width},
        {"max_channels", "axis 1 of a rank-4 or rank-5 value has at most limits.max_channels",
         "limits.max_channels", max_channels},
        {"max_batch", "axis 0 of a rank-4 or rank-5 value has at most limits.max_batch",
         "limits.max_batch", max_batch},
    };
}

}  // namespace pome::device::linting
