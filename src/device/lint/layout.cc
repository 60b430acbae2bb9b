// Ops that move values: transpose, slices, concat, pad, tile, gather, resampling; pools.
#include <algorithm>
#include <array>

#include "device/lint/rules.h"

namespace pome::device::linting {
namespace {

void transpose_extent(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "transpose" ? lint.view.type(operation, "x") : nullptr;
    const auto perm = lint.view.numbers(operation, "perm");
    const std::int64_t most = lint.profile.limits.max_transpose;
    if (x == nullptr || !perm || most == 0 || static_cast<int>(perm->size()) != x->shape.rank()) {
        return;
    }
    for (int axis = 0; axis < x->shape.rank(); ++axis) {
        const int to = whole((*perm)[static_cast<std::size_t>(axis)]);
        const bool moved = (to < 0 ? to + x->shape.rank() : to) != axis;
        if (moved && x->shape[axis] > most) {
            lint.report(Reaction::refused, operation,
                        fmt::format("transpose moves axis {} of {}: {} elements, more than {}",
                                    axis, x->text(), x->shape[axis], most),
                        "cut the axis and transpose the parts");
            return;
        }
    }
}

void transpose_elements(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "transpose" ? lint.view.type(operation, "x") : nullptr;
    const std::int64_t most = lint.profile.limits.transpose_elements;
    if (x == nullptr || most == 0 || !x->shape.is_static()) {
        return;
    }
    std::int64_t elements = 1;
    for (const std::int64_t size : x->shape) {
        elements = bounded(elements * bounded(size));
    }
    if (elements > most) {
        lint.report(Reaction::refused, operation,
                    fmt::format("transpose of {} elements, more than {}", elements, most),
                    "cut the value and transpose the parts");
    }
}

/// Whether a slice leaves out the first elements of the width.
bool begins_inside(const Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = lint.view.type(operation, "x");
    if (x == nullptr || x->shape.rank() == 0) {
        return false;
    }
    if (operation.op == "slice_by_size" || operation.op == "slice_by_index") {
        const auto begin = lint.view.numbers(operation, "begin");
        if (!begin || static_cast<int>(begin->size()) != x->shape.rank()) {
            return false;
        }
        const auto mask = lint.view.numbers(operation, "begin_mask");
        const bool masked = mask && mask->size() == begin->size() && mask->back() != 0.0;
        return !masked && begin->back() != 0.0;
    }
    if (operation.op == "split") {
        const auto axis = lint.view.number(operation, "axis");
        const int rank = x->shape.rank();
        return axis && (whole(*axis) == rank - 1 || *axis == -1.0) && operation.results.size() > 1;
    }
    return false;
}

void width_slice(Lint& lint, const mil::Operation& operation) {
    if (lint.profile.numerics.slice.width_gain && begins_inside(lint, operation)) {
        lint.report(Reaction::works, operation,
                    fmt::format("{} begins inside the width: values beyond 4094 become infinite",
                                operation.op),
                    "slice another axis, or multiply by a constant selection matrix");
    }
}

void concat_inputs(Lint& lint, const mil::Operation& operation) {
    const mil::Argument* values =
        operation.op == "concat" ? operation.find_argument("values") : nullptr;
    if (values != nullptr && values->operands.size() < 2) {
        lint.report(Reaction::refused, operation,
                    fmt::format("concat of {} value: {}", values->operands.size(), compile_failed),
                    "give two values at least");
    }
}

void parallel_branches(Lint& lint, const mil::Operation& operation) {
    constexpr std::size_t many = 12;
    const mil::Argument* values =
        operation.op == "concat" ? operation.find_argument("values") : nullptr;
    if (values != nullptr && values->operands.size() >= many) {
        lint.report(Reaction::works, operation,
                    fmt::format("concat of {} values: from {} branches into one op on, compiling "
                                "takes about 9 s",
                                values->operands.size(), many),
                    "concatenate in groups");
    }
}

void concat_axis(Lint& lint, const mil::Operation& operation) {
    if (operation.op != "concat") {
        return;
    }
    const auto axis = lint.view.number(operation, "axis");
    if (!axis || *axis < 0.0) {
        lint.report(
            Reaction::refused, operation,
            axis ? fmt::format("concat along axis {}: {}", whole(*axis), compile_failed)
                 : fmt::format("concat along an axis that is no constant: {}", compile_failed),
            "count the axis from the front, as a constant");
    }
}

void concat_width_slices(Lint& lint, const mil::Operation& operation) {
    const mil::Argument* values =
        operation.op == "concat" ? operation.find_argument("values") : nullptr;
    if (values == nullptr || lint.profile.failures.width_slices == Reaction::works) {
        return;
    }
    const auto inside = std::count_if(
        values->operands.begin(), values->operands.end(), [&](const mil::Operand& operand) {
            const auto* name = std::get_if<std::string>(&operand);
            const mil::Operation* made = name == nullptr ? nullptr : lint.view.producer(*name);
            return made != nullptr && begins_inside(lint, *made);
        });
    if (inside >= 2) {
        lint.report(
            lint.profile.failures.width_slices, operation,
            fmt::format("concat of {} slices that begin inside the width: wrong elements", inside),
            "slice another axis, or multiply by a constant selection matrix");
    }
}

void channel_padding(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "pad" ? lint.view.type(operation, "x") : nullptr;
    const auto pad = lint.view.numbers(operation, "pad");
    if (x == nullptr || !pad || pad->size() <= 4 || x->shape.rank() < 3) {
        return;  // pad names the last axes: two of them are height and width
    }
    if (std::any_of(pad->begin(), pad->end() - 4, [](double size) { return size != 0.0; })) {
        lint.report(Reaction::refused, operation, "Channel padding is not supported on ANE",
                    "concatenate constants along the channels");
    }
}

void reflect_padding(Lint& lint, const mil::Operation& operation) {
    const auto mode = operation.op == "pad" ? lint.view.text(operation, "mode") : std::nullopt;
    if (mode && *mode != "constant" && !lint.profile.capabilities.reflect_padding) {
        lint.report(Reaction::refused, operation,
                    fmt::format("Architecture does not support padding mode. ({})", *mode),
                    "concatenate slices of the value");
    }
}

/// Whether `factor` is a product of the engine's factors 2, 3, 4 and 8.
bool composes(double factor) {
    int left = whole(factor);
    while (left > 1 && (left % 2 == 0 || left % 3 == 0)) {
        left /= left % 2 == 0 ? 2 : 3;
    }
    return left == 1 && factor >= 1.0;
}

void tile(Lint& lint, const mil::Operation& operation) {
    if (operation.op == "tile" && lint.profile.failures.tile != Reaction::works) {
        lint.report(lint.profile.failures.tile, operation,
                    fmt::format("tile by the route {}: its evaluation fails with status=0x1d, and "
                                "so does every later one of the process",
                                lint.profile.route),
                    "concatenate the value with itself, or let an op broadcast it");
    }
}

void tile_factor(Lint& lint, const mil::Operation& operation) {
    const auto reps = operation.op == "tile" ? lint.view.numbers(operation, "reps") : std::nullopt;
    if (!reps) {
        return;
    }
    for (const double factor : *reps) {
        if (!composes(factor)) {
            lint.report(
                Reaction::refused, operation,
                fmt::format("tile by {}, no product of 2, 3, 4 and 8: {}", factor, compile_failed),
                "concatenate the value with itself");
            return;
        }
    }
}

void shuffle_factor(Lint& lint, const mil::Operation& operation) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> factors{{
        {"pixel_shuffle", "upscale_factor"},
        {"pixel_unshuffle", "downscale_factor"},
        {"depth_to_space", "block_size"},
        {"space_to_depth", "block_size"},
        {"space_to_batch", "block_shape"},
        {"batch_to_space", "block_shape"},
    }};
    for (const auto& [op, argument] : factors) {
        const auto given =
            operation.op == op ? lint.view.numbers(operation, argument) : std::nullopt;
        for (const double factor : given.value_or(std::vector<double>{})) {
            if (factor != 1.0 && factor != 2.0 && factor != 3.0 && factor != 4.0 && factor != 8.0) {
                lint.report(Reaction::refused, operation,
                            fmt::format("{} by {}, which is not 2, 3, 4 or 8: {}", op, factor,
                                        compile_failed),
                            "write it as reshape and transpose");
                return;
            }
        }
    }
}

void stride_factor(Lint& lint, const mil::Operation& operation) {
    const auto strides =
        operation.op == "conv" ? lint.view.numbers(operation, "strides") : std::nullopt;
    for (const double stride : strides.value_or(std::vector<double>{})) {
        if (stride != 1.0 && stride != 2.0 && stride != 3.0 && stride != 4.0 && stride != 8.0) {
            lint.report(Reaction::works, operation,
                        fmt::format("conv with stride {}, which is not 2, 3, 4 or 8, is cut into "
                                    "several passes",
                                    stride),
                        "use a stride of 2, 3, 4 or 8 where time matters");
            return;
        }
    }
}

void pool_window(Lint& lint, const mil::Operation& operation) {
    const bool maximum = operation.op == "max_pool";
    if (!maximum && operation.op != "avg_pool" && operation.op != "l2_pool") {
        return;
    }
    const Limits& limits = lint.profile.limits;
    const std::int64_t most =
        maximum && limits.max_pool_window > 0 ? limits.max_pool_window : limits.pool_window;
    const auto sizes = lint.view.numbers(operation, "kernel_sizes");
    for (const double size : sizes.value_or(std::vector<double>{})) {
        if (most > 0 && size > static_cast<double>(most)) {
            lint.report(
                Reaction::refused, operation,
                fmt::format("{} over {} elements, It should be in [1,{}]", operation.op, size,
                            most),
                maximum ? "pool twice with smaller windows" : "reduce with reduce_sum and mul");
            return;
        }
    }
}

void texture(Lint& lint, const mil::Operation& operation) {
    static constexpr std::array<std::string_view, 3> refused{"affine", "resample", "crop_resize"};
    static constexpr std::array<std::string_view, 5> replaced{
        "resize", "resize_bilinear", "resize_nearest_neighbor", "upsample_bilinear",
        "upsample_nearest_neighbor"};
    if (lint.profile.capabilities.texture) {
        return;
    }
    if (std::find(refused.begin(), refused.end(), operation.op) != refused.end()) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} transform is not supported on this architecture", operation.op),
                    "compute the samples on the host");
    } else if (std::find(replaced.begin(), replaced.end(), operation.op) != replaced.end()) {
        lint.report(
            Reaction::works, operation,
            fmt::format("{} has no texture engine here: software rounds differently", operation.op),
            "resample with matmul where the last bit matters");
    }
}

void gather_envelope(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "gather" ? lint.view.type(operation, "x") : nullptr;
    const mil::Type* indices = lint.view.type(operation, "indices");
    if (lint.profile.capabilities.texture || x == nullptr || indices == nullptr ||
        !indices->is_tensor() || !indices->shape.is_static()) {
        return;
    }
    constexpr std::int64_t most = 3;
    std::int64_t count = 1;
    for (const std::int64_t size : indices->shape) {
        count = bounded(count * bounded(size));
    }
    if ((x->shape.rank() >= 4 && x->shape[0] != 1) || count > most) {
        lint.report(Reaction::refused, operation,
                    fmt::format("gather of {} by {} indices: Cannot decompose layer on this "
                                "architecture",
                                x->text(), count),
                    "write slices and concat, or multiply by a one-hot matrix");
    }
}

void gather_last_axis(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "gather" || operation.op == "gather_along_axis"
                             ? lint.view.type(operation, "x")
                             : nullptr;
    if (x == nullptr || lint.profile.failures.last_axis_gather == Reaction::works) {
        return;
    }
    const auto given = lint.view.number(operation, "axis");
    const int axis = given ? whole(*given) : 0;
    if ((axis < 0 ? axis + x->shape.rank() : axis) == x->shape.rank() - 1) {
        lint.report(
            lint.profile.failures.last_axis_gather, operation,
            fmt::format("{} along the last axis of {}: wrong elements", operation.op, x->text()),
            "transpose, gather along another axis, transpose back");
    }
}

void constexpr_reshape(Lint& lint, const mil::Operation& operation) {
    const mil::Operation* made =
        operation.op == "reshape" ? lint.view.producer(operation, "x") : nullptr;
    if (made != nullptr && made->op.starts_with("constexpr_")) {
        lint.report(Reaction::refused, operation,
                    fmt::format("reshape of {}: {}", made->op, compile_failed),
                    "store the constant in the shape that is used");
    }
}

}  // namespace

Rules layout_rules() {
    return {
        {"transpose_extent", "transpose moves axes of limits.max_transpose elements at most",
         "limits.max_transpose", nullptr, transpose_extent},
        {"transpose_elements", "transpose takes limits.transpose_elements at most",
         "limits.transpose_elements", nullptr, transpose_elements},
        {"width_slice",
         "slices that begin inside the width clamp at 4094 where numerics.slice says",
         "numerics.slice.width_gain", nullptr, width_slice},
        {"concat_inputs", "concat takes two values at least", "ane-guide ch. 17, on M1", nullptr,
         concat_inputs},
        {"parallel_branches", "fewer than 12 branches end in one op", "M4/M6 study", nullptr,
         parallel_branches},
        {"concat_axis", "concat's axis is a constant counted from the front",
         "ane-guide ch. 17, on M1; maderix/ANE PR 40", nullptr, concat_axis},
        {"concat_width_slices", "no concat of several slices that begin inside the width",
         "failures.width_slices", nullptr, concat_width_slices},
        {"channel_padding", "pad adds to height and width only", "compiler's validator; ane-guide",
         nullptr, channel_padding},
        {"reflect_padding", "pad modes other than constant only where the chip has them",
         "capabilities.reflect_padding", nullptr, reflect_padding},
        {"tile", "no tile where it poisons the process", "failures.tile", nullptr, tile},
        {"tile_factor", "tile repeats by products of 2, 3, 4 and 8", "ane-guide app. A", nullptr,
         tile_factor},
        {"shuffle_factor", "pixel shuffles and their kin work by 2, 3, 4 and 8", "ane-guide app. A",
         nullptr, shuffle_factor},
        {"stride_factor", "strides other than 2, 3, 4 and 8 take several passes",
         "ane-guide app. A", nullptr, stride_factor},
        {"pool_window", "windows of limits.pool_window; of max_pool limits.max_pool_window",
         "limits.pool_window, limits.max_pool_window", nullptr, pool_window},
        {"texture", "affine, resample and crop_resize need the texture engine",
         "capabilities.texture", nullptr, texture},
        {"gather_envelope", "without the texture engine gather takes batch 1 and 3 indices",
         "ane-guide app. B, on M1", nullptr, gather_envelope},
        {"gather_last_axis", "no gather along the last axis where it is wrong",
         "failures.last_axis_gather", nullptr, gather_last_axis},
        {"constexpr_reshape", "compressed constants are not reshaped", "ANEForge op quirks",
         nullptr, constexpr_reshape},
    };
}

}  // namespace pome::device::linting
