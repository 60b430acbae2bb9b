// Reductions, norms, softmax, topk.
#include <algorithm>
#include <bit>
#include <set>

#include "device/lint/rules.h"

namespace pome::device::linting {
namespace {

/// Size of the axis that an op works along; 0 when unknown.
std::int64_t axis_size(const Lint& lint, const mil::Operation& operation, std::int64_t otherwise) {
    const mil::Type* x = lint.view.type(operation, "x");
    const auto given = lint.view.number(operation, "axis");
    if (x == nullptr || !x->is_tensor() || x->shape.rank() == 0) {
        return 0;
    }
    const std::int64_t rank = x->shape.rank();
    std::int64_t axis = given ? whole(*given) : otherwise;
    axis = axis < 0 ? axis + rank : axis;
    return axis < 0 || axis >= rank ? 0 : x->shape[static_cast<int>(axis)];
}

void reduce_mean(Lint& lint, const mil::Operation& operation) {
    if (operation.op == "reduce_mean" && !lint.profile.capabilities.reduce_mean) {
        lint.report(Reaction::refused, operation, fmt::format("reduce_mean: {}", invalid_program),
                    "write reduce_sum and mul by 1/n");
    }
}

void norms(Lint& lint, const mil::Operation& operation) {
    if (!lint.profile.capabilities.norms &&
        (operation.op == "layer_norm" || operation.op == "instance_norm" ||
         operation.op == "l2_norm")) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{}: {}", operation.op, invalid_program),
                    "write it as sums, products and roots");
    }
}

void argmax_axis(Lint& lint, const mil::Operation& operation) {
    const std::int64_t most = lint.profile.limits.argmax_axis;
    if (operation.op != "reduce_argmax" && operation.op != "reduce_argmin") {
        return;
    }
    const std::int64_t size = axis_size(lint, operation, -1);
    if (most > 0 && size > most) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} over {} elements, more than {}: {}", operation.op, size, most,
                                compile_failed),
                    "cut the axis, or find the index on the host");
    }
}

void global_arg(Lint& lint, const mil::Operation& operation) {
    if (operation.op == "reduce_argmin" && !lint.profile.capabilities.global_arg) {
        lint.report(Reaction::refused, operation,
                    fmt::format("reduce_argmin requires ANE family >= 4, this is family {}",
                                lint.profile.limits.family_number),
                    "take reduce_argmax of the negated values");
    }
}

void softmax_power_of_two(Lint& lint, const mil::Operation& operation) {
    const std::int64_t size = operation.op == "softmax" ? axis_size(lint, operation, -1) : 0;
    if (!lint.profile.capabilities.softmax_any_size && size > 0 &&
        !std::has_single_bit(static_cast<std::uint64_t>(size))) {
        lint.report(
            Reaction::refused, operation,
            fmt::format("softmax over {} elements, no power of two: {}", size, invalid_program),
            "pad the axis with very negative values to a power of two");
    }
}

void topk(Lint& lint, const mil::Operation& operation) {
    if (operation.op == "topk" && !lint.profile.capabilities.topk) {
        lint.report(Reaction::refused, operation,
                    fmt::format("topk requires ANE family >= 3, this is family {}",
                                lint.profile.limits.family_number),
                    "repeat amax and select, or choose on the host");
    }
}

void topk_k(Lint& lint, const mil::Operation& operation) {
    const auto k = operation.op == "topk" ? lint.view.number(operation, "k") : std::nullopt;
    if (k && (*k == 3.0 || *k == 4.0)) {
        lint.report(Reaction::refused, operation,
                    fmt::format("topk with k = {}: {}", whole(*k), compile_failed),
                    "ask for 5 and drop what is too much");
    }
}

void topk_axis(Lint& lint, const mil::Operation& operation) {
    constexpr std::int64_t exact = 2048;  // integers that fp16 counts without a gap
    const std::int64_t size = operation.op == "topk" ? axis_size(lint, operation, -1) : 0;
    if (size > exact) {
        lint.report(Reaction::works, operation,
                    fmt::format("topk over {} elements: its indices are fp16 numbers, exact up to "
                                "{}",
                                size, exact),
                    "cut the axis, or use the values only");
    }
}

void rsqrt_after_reduction(Lint& lint, const mil::Operation& operation) {
    if (lint.profile.capabilities.rsqrt_after_reduction ||
        (operation.op != "rsqrt" && operation.op != "sqrt")) {
        return;
    }
    // The usual way from the sum to the root: a mean's factor, an epsilon, views.
    const mil::Operation* made = lint.view.origin(operation, "x");
    for (int steps = 0; made != nullptr && steps < 4; ++steps) {
        if (made->op.starts_with("reduce_")) {
            lint.report(Reaction::refused, operation,
                        fmt::format("{} after {}: {}", operation.op, made->op, compile_failed),
                        operation.op == "rsqrt" ? "write pow with the exponent -0.5"
                                                : "write pow with the exponent 0.5");
            return;
        }
        if (made->op != "mul" && made->op != "add" && made->op != "real_div") {
            return;
        }
        const bool left = lint.view.constant(*made, "x") == nullptr;
        made = lint.view.origin(*made, left ? "x" : "y");
    }
}

void multiply_reduced_by_zero(Lint& lint, const mil::Operation& operation) {
    if (operation.op != "mul") {
        return;
    }
    for (const auto& [value, factor] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
        const mil::Operation* made = lint.view.origin(operation, value);
        if (made == nullptr || !made->op.starts_with("reduce_")) {
            continue;
        }
        const auto numbers = lint.view.numbers(operation, factor);
        const auto vanishes = [](double number) {
            return is_zero(to_fp16(number, Rounding::nearest_even));
        };
        if (numbers && !numbers->empty() &&
            std::all_of(numbers->begin(), numbers->end(), vanishes)) {
            lint.report(Reaction::refused, operation,
                        fmt::format("mul of {} by {}, zero in fp16: {}", made->op, numbers->front(),
                                    compile_failed),
                        "leave the product out, or scale the values before the reduction");
            return;
        }
    }
}

/// Whether a norm's gamma or beta changes anything: constants that are the same everywhere do not
/// count, weight files are not opened.
bool is_live(const Lint& lint, const mil::Operation& operation, std::string_view argument) {
    if (operation.find_argument(argument) == nullptr) {
        return false;
    }
    const auto numbers = lint.view.numbers(operation, argument);
    return !numbers || std::any_of(numbers->begin(), numbers->end(),
                                   [&](double number) { return number != numbers->front(); });
}

void layer_norm_affine(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "layer_norm" ? lint.view.type(operation, "x") : nullptr;
    if (x == nullptr || !x->is_tensor() || !x->shape.is_static()) {
        return;
    }
    std::int64_t size = 1;
    const auto axes = lint.view.numbers(operation, "axes");
    for (int axis = 0; axis < x->shape.rank(); ++axis) {
        const bool normalized = !axes || std::any_of(axes->begin(), axes->end(), [&](double given) {
            const int at = whole(given);
            return (at < 0 ? at + x->shape.rank() : at) == axis;
        });
        size = normalized ? bounded(size * bounded(x->shape[axis])) : size;
    }
    const Limits& limits = lint.profile.limits;
    const int live = int{is_live(lint, operation, "gamma")} + int{is_live(lint, operation, "beta")};
    const auto& passes = limits.layer_norm_one_passes;
    if (live == 1 && limits.layer_norm_one > 0 && size >= limits.layer_norm_one &&
        std::find(passes.begin(), passes.end(), size) == passes.end()) {
        lint.report(
            Reaction::refused, operation,
            fmt::format("layer_norm over {} elements with one of gamma and beta: {}, err=11", size,
                        compile_failed),
            "give both, or multiply and add on the last axis in ops of their own");
    }
    if (live == 2 && limits.layer_norm_both > 0 && size >= limits.layer_norm_both) {
        lint.report(Reaction::failed, operation,
                    fmt::format("layer_norm over {} elements with gamma and beta compiles, but "
                                "does not run from {} on",
                                size, limits.layer_norm_both),
                    "multiply and add on the last axis in ops of their own");
    }
}

void lrn_channels(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x =
        operation.op == "local_response_norm" ? lint.view.type(operation, "x") : nullptr;
    const std::int64_t most = lint.profile.limits.lrn_channels;
    if (x != nullptr && x->shape.rank() >= 3 && most > 0 && x->shape[1] > most) {
        lint.report(Reaction::refused, operation,
                    fmt::format("local_response_norm of {}: more than {} channels, {}", x->text(),
                                most, compile_failed),
                    "sum the squares with a convolution");
    }
}

}  // namespace

Rules reduction_rules() {
    return {
        {"reduce_mean", "reduce_mean only where the route has it", "capabilities.reduce_mean",
         nullptr, reduce_mean},
        {"norms", "layer_norm, instance_norm and l2_norm only where the route has them",
         "capabilities.norms", nullptr, norms},
        {"argmax_axis", "argmax and argmin look at limits.argmax_axis elements at most",
         "limits.argmax_axis", nullptr, argmax_axis},
        {"global_arg", "argmin only where capabilities.global_arg", "capabilities.global_arg",
         nullptr, global_arg},
        {"softmax_power_of_two", "softmax over powers of two where the route wants them",
         "capabilities.softmax_any_size", nullptr, softmax_power_of_two},
        {"topk", "topk only where the chip has it", "capabilities.topk", nullptr, topk},
        {"topk_k", "topk's k is neither 3 nor 4", "ane-guide app. B; ANEForge op quirks", nullptr,
         topk_k},
        {"topk_axis", "indices of topk are exact up to 2048", "ane-guide ch. 26", nullptr,
         topk_axis},
        {"rsqrt_after_reduction", "no rsqrt or sqrt after a reduction where the route refuses it",
         "capabilities.rsqrt_after_reduction", nullptr, rsqrt_after_reduction},
        {"multiply_reduced_by_zero", "a reduction's result is not multiplied by zero",
         "ANEForge op quirks, on M5", nullptr, multiply_reduced_by_zero},
        {"layer_norm_affine", "gamma and beta of a wide layer_norm, as the chip takes them",
         "limits.layer_norm_one, limits.layer_norm_both", nullptr, layer_norm_affine},
        {"lrn_channels", "local_response_norm takes limits.lrn_channels at most",
         "limits.lrn_channels", nullptr, lrn_channels},
    };
}

}  // namespace pome::device::linting
