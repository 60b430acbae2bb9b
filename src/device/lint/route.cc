// How programs are written for a route: opset, arguments, compressed constants.
#include <algorithm>
#include <array>
#include <charconv>

#include "device/lint/rules.h"

namespace pome::device::linting {
namespace {

void empty_function(Lint& lint) {
    const auto& operations = lint.view.function().operations;
    const bool computes =
        std::any_of(operations.begin(), operations.end(), [](const auto& operation) {
            return operation.op != "const" && !operation.op.starts_with("constexpr_");
        });
    if (!computes) {
        lint.report(
            Reaction::refused, lint.view.function().position.line, lint.view.function().name,
            "function without an op: the compiler crashes, unordered_map::at: key not found",
            "copy on the host");
    }
}

/// 18 for "ios18"; 0 for what is no ios opset.
int opset_number(std::string_view opset) {
    int number = 0;
    if (opset.starts_with("ios")) {
        std::from_chars(opset.data() + 3, opset.data() + opset.size(), number);
    }
    return number;
}

void opset(Lint& lint, const mil::Operation& operation) {
    static constexpr std::array<std::pair<std::string_view, int>, 12> introduced{{
        {"constexpr_affine_dequantize", 16},
        {"constexpr_lut_to_dense", 16},
        {"constexpr_sparse_to_dense", 16},
        {"constexpr_cast", 16},
        {"quantize", 17},
        {"dequantize", 17},
        {"scaled_dot_product_attention", 18},
        {"constexpr_blockwise_shift_scale", 18},
        {"constexpr_sparse_blockwise_shift_scale", 18},
        {"constexpr_lut_to_sparse", 18},
        {"read_state", 18},
        {"write_state", 18},
    }};
    const int has = opset_number(lint.view.function().opset);
    for (const auto& [op, needs] : introduced) {
        if (operation.op == op && has > 0 && has < needs) {
            lint.report(Reaction::refused, operation,
                        fmt::format("{} needs the opset ios{}, the function is {}: {}", op, needs,
                                    lint.view.function().opset, invalid_program),
                        fmt::format("declare the function for ios{}", needs));
        }
    }
}

void required_argument(Lint& lint, const mil::Operation& operation) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 7> wanted{{
        {"log", "epsilon"},
        {"rsqrt", "epsilon"},
        {"inverse", "epsilon"},
        {"concat", "interleave"},
        {"max_pool", "ceil_mode"},
        {"avg_pool", "ceil_mode"},
        {"l2_pool", "ceil_mode"},
    }};
    for (const auto& [op, argument] : wanted) {
        if (operation.op == op && operation.find_argument(argument) == nullptr) {
            lint.report(Reaction::refused, operation,
                        fmt::format("{} without {}: {}", op, argument, invalid_program),
                        fmt::format("give {}, also where its default is meant", argument));
        }
    }
}

void zero_point(Lint& lint, const mil::Operation& operation) {
    if (operation.op != "constexpr_affine_dequantize" ||
        lint.profile.capabilities.int8_zero_point) {
        return;
    }
    const auto points = lint.view.numbers(operation, "zero_point");
    if (points &&
        std::any_of(points->begin(), points->end(), [](double point) { return point != 0.0; })) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} with a zero point: {}", operation.op, compile_failed),
                    "quantize symmetrically, with the zero point 0");
    }
}

void folded_weights(Lint& lint, const mil::Operation& operation) {
    const Capabilities& can = lint.profile.capabilities;
    const bool int8 = operation.op == "constexpr_affine_dequantize" && !can.int8_stream;
    const bool blocks = operation.op.ends_with("blockwise_shift_scale") && !can.blockwise_stream;
    if (int8 || blocks) {
        lint.report(Reaction::works, operation,
                    fmt::format("{} is folded to fp16 when it is compiled: smaller files, no speed",
                                operation.op),
                    "use constexpr_lut_to_dense, which every chip streams");
    }
}

void blockwise_operand(Lint& lint, const mil::Operation& operation) {
    for (const char* which : {"x", "y", "weight"}) {
        const mil::Operation* made =
            operation.op == "matmul" || operation.op == "conv" || operation.op == "linear"
                ? lint.view.producer(operation, which)
                : nullptr;
        if (made != nullptr && made->op.ends_with("blockwise_shift_scale")) {
            lint.report(Reaction::refused, operation,
                        fmt::format("{} takes {} of {} directly: {}", operation.op, which, made->op,
                                    compile_failed),
                        "add 0 to it first");
            return;
        }
    }
}

void state(Lint& lint, const mil::Operation& operation) {
    if (operation.op == "read_state" || operation.op == "write_state") {
        lint.report(Reaction::refused, operation, fmt::format("{}: {}", operation.op, no_backend),
                    "bind one surface as an output and as the next evaluation's input");
    }
}

void width_window(Lint& lint, const mil::Operation& operation) {
    const Limits& limits = lint.profile.limits;
    for (const auto& result : operation.results) {
        if (limits.unsafe_width_first > 0 && result.type.is_tensor() &&
            result.type.shape.rank() > 0 && result.type.shape[-1] >= limits.unsafe_width_first &&
            result.type.shape[-1] <= limits.unsafe_width_last) {
            lint.report(Reaction::works, operation,
                        fmt::format("{} is between {} and {} wide: larger programs of such widths "
                                    "fail with status=0x1d",
                                    result.type.text(), limits.unsafe_width_first,
                                    limits.unsafe_width_last),
                        "pad the width beyond it");
        }
    }
}

void einsum(Lint& lint, const mil::Operation& operation) {
    const auto equation =
        operation.op == "einsum" ? lint.view.text(operation, "equation") : std::nullopt;
    if (equation && *equation != "nchw,nwhu->nchu") {
        lint.report(
            Reaction::works, operation,
            fmt::format("einsum '{}': nobody has verified any but nchw,nwhu->nchu", *equation),
            "write transpose, reshape and matmul");
    }
}

}  // namespace

Rules route_rules() {
    return {
        {"empty_function", "a function computes something", "ANEForge issue 116", empty_function},
        {"opset", "ops are no younger than the function's opset", "MIL definitions of coremltools",
         nullptr, opset},
        {"required_argument",
         "epsilon of log, rsqrt and inverse, interleave of concat and ceil_mode of pools are given",
         "ANEForge docs/developer/mil-primer.md", nullptr, required_argument},
        {"zero_point", "int8 weights have the zero point 0 where the chip wants it",
         "capabilities.int8_zero_point", nullptr, zero_point},
        {"folded_weights", "compressed weights that the chip does not stream are folded",
         "capabilities.int8_stream, capabilities.blockwise_stream", nullptr, folded_weights},
        {"blockwise_operand", "blockwise weights pass an add before a product",
         "ANEForge docs; on M5", nullptr, blockwise_operand},
        {"state", "no read_state or write_state", "ane-guide ch. 8, 14; ANEForge sweep on M5",
         nullptr, state},
        {"width_window", "widths at which large programs fail",
         "limits.unsafe_width_first, limits.unsafe_width_last", nullptr, width_window},
        {"einsum", "einsum by the one verified equation", "ANEForge sweep on M5", nullptr, einsum},
    };
}

}  // namespace pome::device::linting
