// Elementwise ops.
#include <algorithm>
#include <array>

#include "device/lint/rules.h"

namespace pome::device::linting {
namespace {

template <std::size_t count>
bool is_one_of(const std::array<std::string_view, count>& ops, const mil::Operation& operation) {
    return std::find(ops.begin(), ops.end(), operation.op) != ops.end();
}

void trigonometry(Lint& lint, const mil::Operation& operation) {
    if (!lint.profile.capabilities.trigonometry &&
        (operation.op == "sin" || operation.op == "cos")) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} requires ANE family >= 4, this is family {}", operation.op,
                                lint.profile.limits.family_number),
                    "compute a polynomial, or a table on the host");
    }
}

void random(Lint& lint, const mil::Operation& operation) {
    if (!lint.profile.capabilities.random && operation.op.starts_with("random_")) {
        lint.report(Reaction::refused, operation,
                    "Random layer is not supported on this architecture.",
                    "draw the numbers on the host and give them as an input");
    }
}

void gelu(Lint& lint, const mil::Operation& operation) {
    if (!lint.profile.capabilities.gelu && operation.op == "gelu") {
        lint.report(Reaction::refused, operation, fmt::format("gelu: {}", compile_failed),
                    "write it with tanh or sigmoid");
    }
}

void inverse(Lint& lint, const mil::Operation& operation) {
    if (!lint.profile.capabilities.inverse && operation.op == "inverse") {
        lint.report(Reaction::refused, operation, fmt::format("inverse: {}", compile_failed),
                    "divide 1 with real_div");
    }
}

void square_activation_width(Lint& lint, const mil::Operation& operation) {
    static constexpr std::array<std::string_view, 13> activations{
        "relu", "relu6", "leaky_relu", "sigmoid", "tanh",  "gelu", "silu",
        "erf",  "exp",   "exp2",       "sqrt",    "rsqrt", "log"};
    if (lint.profile.capabilities.square_activation || !is_one_of(activations, operation)) {
        return;
    }
    const mil::Operation* made = lint.view.producer(operation, "x");
    const mil::Type* x = lint.view.type(operation, "x");
    if (made != nullptr && made->op == "square" && x != nullptr && x->shape.rank() > 0 &&
        x->shape[-1] % 128 > 64) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} of square over a width of {}, {} mod 128 is above 64: {}",
                                operation.op, x->shape[-1], x->shape[-1], compile_failed),
                    "write mul(x, x) for square");
    }
}

bool is_single(const mil::Type& type) {
    return type.is_tensor() && std::all_of(type.shape.begin(), type.shape.end(),
                                           [](std::int64_t size) { return size == 1; });
}

void rounding_scale(Lint& lint, const mil::Operation& operation) {
    static constexpr std::array<std::string_view, 3> roundings{"floor", "ceil", "round"};
    if (operation.op != "mul" || lint.profile.failures.rounding_scale == Reaction::works) {
        return;
    }
    for (const auto& [value, factor] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
        const mil::Operation* made = lint.view.producer(operation, value);
        const mil::Literal* constant = lint.view.constant(operation, factor);
        if (made != nullptr && is_one_of(roundings, *made) && constant != nullptr &&
            is_single(constant->type)) {
            lint.report(lint.profile.failures.rounding_scale, operation,
                        fmt::format("mul by one number right after {}: the chip leaves the mul out",
                                    made->op),
                        "multiply by a constant of the full shape");
            return;
        }
    }
}

/// Operands of a binary op that are repeated along an axis: `axis` counts from the end when
/// negative.
bool repeats(const Lint& lint, const mil::Operation& operation, int rank, int axis) {
    const mil::Type *x = lint.view.type(operation, "x"), *y = lint.view.type(operation, "y");
    return x != nullptr && y != nullptr && x->is_tensor() && y->is_tensor() &&
           x->shape.rank() == rank && y->shape.rank() == rank && x->shape[axis] != y->shape[axis] &&
           lint.view.is_runtime(operation, "x") && lint.view.is_runtime(operation, "y");
}

constexpr std::array<std::string_view, 5> arithmetic{"add", "sub", "mul", "real_div", "pow"};

void channel_broadcast(Lint& lint, const mil::Operation& operation) {
    if (lint.profile.failures.channel_broadcast != Reaction::works &&
        is_one_of(arithmetic, operation) && repeats(lint, operation, 3, -1)) {
        lint.report(lint.profile.failures.channel_broadcast, operation,
                    fmt::format("{} of {} and {}: the route {} gives zeros when it repeats a "
                                "channel's value along the width",
                                operation.op, lint.view.type(operation, "x")->text(),
                                lint.view.type(operation, "y")->text(), lint.profile.route),
                    "give both operands the full shape, or rank 4");
    }
}

void batch_broadcast(Lint& lint, const mil::Operation& operation) {
    if (lint.profile.failures.batch_broadcast != Reaction::works && operation.op == "mul" &&
        repeats(lint, operation, 4, 0)) {
        lint.report(Reaction::works, operation,
                    "mul that repeats an operand along axis 0 is unreliable",
                    "give both operands the full batch");
    }
}

void uint8_arithmetic(Lint& lint, const mil::Operation& operation) {
    static constexpr std::array<std::string_view, 13> ops{
        "add", "sub",  "mul",    "real_div", "maximum", "minimum", "pow",
        "abs", "relu", "matmul", "linear",   "conv",    "square"};
    if (!is_one_of(ops, operation)) {
        return;
    }
    for (const char* which : {"x", "y"}) {
        const mil::Type* type = lint.view.type(operation, which);
        if (type != nullptr && type->is_tensor() && type->dtype == DType::uint8) {
            lint.report(Reaction::refused, operation,
                        fmt::format("Param '{}' of {} must be floating point; got tensor<uint8,{}>",
                                    which, operation.op, type->shape.text()),
                        "cast or dequantize it to fp16 first");
            return;
        }
    }
}

void prelu_rank(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "prelu" ? lint.view.type(operation, "x") : nullptr;
    if (x != nullptr && x->shape.rank() < 3) {
        lint.report(Reaction::refused, operation,
                    fmt::format("prelu of {}: {}", x->text(), no_backend),
                    "reshape to rank 3 or more, channels on axis 1");
    }
}

}  // namespace

Rules elementwise_rules() {
    return {
        {"trigonometry", "sin and cos only where capabilities.trigonometry",
         "capabilities.trigonometry", nullptr, trigonometry},
        {"random", "random ops only where capabilities.random", "capabilities.random", nullptr,
         random},
        {"gelu", "gelu only where the route has it", "capabilities.gelu", nullptr, gelu},
        {"inverse", "inverse only where the route has it", "capabilities.inverse", nullptr,
         inverse},
        {"square_activation_width",
         "square right before an activation: the width mod 128 is at most 64",
         "capabilities.square_activation", nullptr, square_activation_width},
        {"rounding_scale", "no mul by one number right after floor, ceil or round",
         "failures.rounding_scale", nullptr, rounding_scale},
        {"channel_broadcast", "no [1, C, 1] against [1, C, S] where the route gives zeros",
         "failures.channel_broadcast", nullptr, channel_broadcast},
        {"batch_broadcast", "mul does not repeat an operand along the batch",
         "failures.batch_broadcast", nullptr, batch_broadcast},
        {"uint8_arithmetic", "uint8 values are cast before arithmetic", "ane-guide ch. 4, on M1",
         nullptr, uint8_arithmetic},
        {"prelu_rank", "prelu takes rank 3 or more", "ane-guide app. A", nullptr, prelu_rank},
    };
}

}  // namespace pome::device::linting
