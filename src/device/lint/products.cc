// conv, conv_transpose, linear, matmul and attention.
#include <algorithm>

#include "device/lint/rules.h"

namespace pome::device::linting {
namespace {

bool is_conv(const mil::Operation& operation) {
    return operation.op == "conv" || operation.op == "conv_transpose";
}

void conv_rank(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = is_conv(operation) ? lint.view.type(operation, "x") : nullptr;
    if (x != nullptr && x->shape.rank() == 5) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} of {}: {}", operation.op, x->text(), no_backend),
                    "convolve planes: three-dimensional convolutions do not lower");
    }
}

void groups(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "conv" ? lint.view.type(operation, "x") : nullptr;
    const mil::Type* weight = lint.view.type(operation, "weight");
    const auto given = lint.view.number(operation, "groups");
    const int count = given ? whole(*given) : 1;
    if (x == nullptr || weight == nullptr || x->shape.rank() < 3 || weight->shape.rank() < 2 ||
        !x->shape.is_static() || !weight->shape.is_static()) {
        return;
    }
    if (count < 1 || x->shape[1] % count != 0 || weight->shape[0] % count != 0 ||
        weight->shape[1] != x->shape[1] / count) {
        lint.report(Reaction::refused, operation,
                    fmt::format("KernelChannels ({}) != InputChannels ({}) / Group ({})",
                                weight->shape[1], x->shape[1], count),
                    "input and output channels must be divisible by the groups");
    }
}

void conv_kernel_width(Lint& lint, const mil::Operation& operation) {
    const mil::Type* weight = is_conv(operation) ? lint.view.type(operation, "weight") : nullptr;
    const std::int64_t most = lint.profile.limits.conv_kernel_width;
    if (weight == nullptr || weight->shape.rank() != 4 || most == 0 || weight->shape[3] <= most) {
        return;
    }
    // The front end takes kernels up to 15; what lies between fails when it is lowered.
    constexpr std::int64_t front_end = 15;
    const std::int64_t width = weight->shape[3];
    lint.report(
        Reaction::refused, operation,
        width > front_end
            ? fmt::format("kW must be <={}, it is {}", front_end, width)
            : fmt::format("Invalid conv kernel width = {}, It should be in [1,{}]", width, most),
        "cut the kernel along the width and add the partial results");
}

void conv_kernel_height(Lint& lint, const mil::Operation& operation) {
    const mil::Type* weight = is_conv(operation) ? lint.view.type(operation, "weight") : nullptr;
    const std::int64_t most = lint.profile.limits.conv_kernel_height;
    if (weight != nullptr && weight->shape.rank() == 4 && most > 0 && weight->shape[2] > most) {
        lint.report(Reaction::refused, operation,
                    fmt::format("Invalid conv kernel height = {}, It should be in [1,{}]",
                                weight->shape[2], most),
                    "cut the kernel along the height and add the partial results");
    }
}

void conv_transpose_kernel(Lint& lint, const mil::Operation& operation) {
    const std::int64_t most = lint.profile.limits.strided_transpose_kernel;
    const mil::Type* weight =
        operation.op == "conv_transpose" ? lint.view.type(operation, "weight") : nullptr;
    const auto strides = lint.view.numbers(operation, "strides");
    if (weight == nullptr || weight->shape.rank() != 4 || most == 0 || !strides ||
        strides->size() != 2) {
        return;
    }
    for (const int axis : {0, 1}) {
        const std::int64_t kernel = weight->shape[2 + axis];
        if ((*strides)[static_cast<std::size_t>(axis)] > 1.0 && kernel > most) {
            lint.report(Reaction::refused, operation,
                        fmt::format("Invalid conv kernel {} = {}, It should be in [1,{}] along a "
                                    "strided axis",
                                    axis == 0 ? "height" : "width", kernel, most),
                        "put zeros between the input's elements and convolve with stride 1");
            return;
        }
    }
}

void conv_input_channels(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = is_conv(operation) ? lint.view.type(operation, "x") : nullptr;
    const std::int64_t most = lint.profile.limits.conv_input_channels;
    if (x != nullptr && x->shape.rank() >= 3 && most > 0 && x->shape[1] > most) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} of {}: more than {} input channels, {}", operation.op,
                                x->text(), most, compile_failed),
                    "cut the channels and add the partial results");
    }
}

void conv_bias(Lint& lint, const mil::Operation& operation) {
    if (!lint.profile.capabilities.conv_bias && is_conv(operation) &&
        operation.find_argument("bias") != nullptr) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} with a bias: {}", operation.op, compile_failed),
                    "add the bias, [1, C, 1, 1], in an add of its own");
    }
}

void runtime_conv_weight(Lint& lint, const mil::Operation& operation) {
    if (!is_conv(operation) || !lint.view.is_runtime(operation, "weight")) {
        return;
    }
    const Failures& failures = lint.profile.failures;
    const auto groups = lint.view.number(operation, "groups");
    const bool grouped = groups && *groups > 1.0;
    const Reaction reaction = grouped && failures.grouped_runtime_conv != Reaction::works
                                  ? failures.grouped_runtime_conv
                                  : failures.runtime_conv_weight;
    if (reaction == Reaction::works) {
        return;
    }
    lint.report(
        reaction, operation,
        reaction == Reaction::refused
            ? fmt::format("{} with a weight that is no constant: {}", operation.op, invalid_program)
            : fmt::format("{} with a weight that is no constant: the route {} computes {}",
                          operation.op, lint.profile.route,
                          reaction == Reaction::zeros ? "zeros" : "without the weight"),
        "multiply with matmul: for kernels beyond 1 x 1 lay the input out in columns first");
}

void runtime_conv_weight_batch(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = is_conv(operation) ? lint.view.type(operation, "x") : nullptr;
    if (x != nullptr && x->shape.rank() >= 3 && x->shape[0] > 1 &&
        lint.view.is_runtime(operation, "weight")) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} of {} with a weight that is no constant: with a batch of 2 or "
                                "more the compiler's process dies (lost helper application)",
                                operation.op, x->text()),
                    "convolve one image at a time, or multiply with matmul");
    }
}

void matmul_rank(Lint& lint, const mil::Operation& operation) {
    if (operation.op != "matmul") {
        return;
    }
    for (const char* which : {"x", "y"}) {
        const mil::Type* type = lint.view.type(operation, which);
        if (type != nullptr && type->shape.rank() > 4) {
            lint.report(Reaction::refused, operation,
                        fmt::format("matmul of {}: {}", type->text(), no_backend),
                        "merge the leading axes with reshape");
            return;
        }
    }
}

/// Elements that a matmul or linear sums, 0 when unknown.
std::int64_t inner_of(const Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = lint.view.type(operation, "x");
    if (x == nullptr || x->shape.rank() < 1) {
        return 0;
    }
    if (operation.op == "linear") {
        return bounded(x->shape[-1]);
    }
    return operation.op != "matmul" || x->shape.rank() < 2 ? 0
           : lint.view.flag(operation, "transpose_x")      ? bounded(x->shape[-2])
                                                           : bounded(x->shape[-1]);
}

void matmul_inner(Lint& lint, const mil::Operation& operation) {
    const std::int64_t most = lint.profile.limits.max_inner;
    const std::int64_t inner = inner_of(lint, operation);
    if (most > 0 && inner > most) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} sums {} products: can not fit the Kmem, ANE family {} takes {}",
                                operation.op, inner, lint.profile.limits.family_number, most),
                    "cut the inner axis and add the partial products");
    }
}

/// Whether an operand is an input of the function, perhaps under another shape.
bool takes_input(const Lint& lint, const mil::Operation& operation) {
    for (const char* which : {"x", "y"}) {
        const mil::Operation* use = &operation;
        const mil::Operation* made = lint.view.producer(*use, which);
        const char* argument = which;
        std::size_t steps = lint.view.function().operations.size();
        while (made != nullptr && made->op == "reshape" && steps-- > 0) {
            use = made;
            argument = "x";
            made = lint.view.producer(*use, argument);
        }
        if (made == nullptr && lint.view.is_runtime(*use, argument)) {
            return true;
        }
    }
    return false;
}

void matmul_inner_multiple(Lint& lint, const mil::Operation& operation) {
    const std::int64_t unit = lint.profile.limits.matmul_inner_multiple;
    const std::int64_t inner = operation.op == "matmul" ? inner_of(lint, operation) : 0;
    if (unit > 0 && inner % unit != 0 && takes_input(lint, operation)) {
        lint.report(
            lint.profile.failures.inner_multiple, operation,
            fmt::format("matmul sums {} products, no multiple of {}: the route {} gives "
                        "zeros",
                        inner, unit, lint.profile.route),
            fmt::format("pad the inner axis with zeros to {}", (inner + unit - 1) / unit * unit));
    }
}

void transpose_matmul_rank(Lint& lint, const mil::Operation& operation) {
    if (operation.op != "matmul") {
        return;
    }
    for (const char* which : {"x", "y"}) {
        const mil::Operation* made = lint.view.origin(operation, which);
        if (made != nullptr && made->op == "transpose" && !made->results.empty() &&
            made->results[0].type.shape.rank() >= 5) {
            lint.report(Reaction::refused, operation,
                        fmt::format("matmul of a transposed rank-{} value: {}, err=11",
                                    made->results[0].type.shape.rank(), compile_failed),
                        "reshape to rank 4 before the transpose");
            return;
        }
    }
}

void linear_rank(Lint& lint, const mil::Operation& operation) {
    const mil::Type* x = operation.op == "linear" ? lint.view.type(operation, "x") : nullptr;
    if (x != nullptr && x->shape.rank() >= 5) {
        lint.report(Reaction::refused, operation,
                    fmt::format("ANE cannot support Linear with input rank >= 5: {}", x->text()),
                    "merge the leading axes with reshape");
    }
}

constexpr std::string_view sdpa = "scaled_dot_product_attention";
constexpr std::string_view sdpa_apart =
    "write attention as matmul, add of the mask, softmax, matmul";

void attention_mask(Lint& lint, const mil::Operation& operation) {
    if (operation.op == sdpa && !lint.profile.capabilities.attention_mask &&
        operation.find_argument("attn_mask") != nullptr) {
        lint.report(lint.profile.failures.attention_mask, operation,
                    fmt::format("{}: the route {} ignores attn_mask, every query sees every key",
                                sdpa, lint.profile.route),
                    std::string(sdpa_apart));
    }
}

/// A mask that differs by head, or that has one row for several queries.
void attention_mask_shape(Lint& lint, const mil::Operation& operation) {
    const mil::Type* mask = lint.view.type(operation, "attn_mask");
    const mil::Type* query = lint.view.type(operation, "query");
    if (operation.op != sdpa || !lint.profile.capabilities.attention_mask || mask == nullptr ||
        query == nullptr || mask->shape.rank() < 2 || query->shape.rank() < 2) {
        return;
    }
    for (int axis = 0; axis < mask->shape.rank() - 2; ++axis) {
        if (mask->shape[axis] > 1) {
            lint.report(Reaction::zeros, operation,
                        fmt::format("attn_mask {}: all heads use one plane, others are misapplied",
                                    mask->text()),
                        std::string(sdpa_apart));
            return;
        }
    }
    if (mask->shape[-2] == 1 && query->shape[-2] > 1) {
        lint.report(
            Reaction::zeros, operation,
            fmt::format("attn_mask {} has one row for {} queries: it is read beyond its end",
                        mask->text(), query->shape[-2]),
            "repeat the row for every query");
    }
}

void sdpa_sequence(Lint& lint, const mil::Operation& operation) {
    const mil::Type* query = lint.view.type(operation, "query");
    const mil::Type* key = lint.view.type(operation, "key");
    const Limits& limits = lint.profile.limits;
    if (operation.op != sdpa || query == nullptr || key == nullptr || query->shape.rank() < 2 ||
        key->shape.rank() < 2 || limits.sdpa_sequence == 0) {
        return;
    }
    const std::int64_t q = query->shape[-2], k = key->shape[-2];
    if (std::max(q, k) > limits.sdpa_sequence) {
        lint.report(Reaction::zeros, operation,
                    fmt::format("{} over {} positions: beyond {} the result is garbage", sdpa,
                                std::max(q, k), limits.sdpa_sequence),
                    std::string(sdpa_apart));
    } else if (limits.sdpa_both > 0 && std::min(q, k) > limits.sdpa_both) {
        lint.report(Reaction::zeros, operation,
                    fmt::format("{} of {} queries and {} keys: with both beyond {} the result is "
                                "garbage",
                                sdpa, q, k, limits.sdpa_both),
                    fmt::format("give at most {} queries at a time", limits.sdpa_both));
    }
}

}  // namespace

Rules product_rules() {
    return {
        {"conv_rank", "no three-dimensional convolutions", "ane-guide ch. 4, 8", nullptr,
         conv_rank},
        {"groups", "input and output channels of conv divide into its groups",
         "ane-guide ch. 4, on M1; compiler's validator", nullptr, groups},
        {"conv_kernel_width", "kernels have at most limits.conv_kernel_width columns",
         "limits.conv_kernel_width", nullptr, conv_kernel_width},
        {"conv_kernel_height", "kernels have at most limits.conv_kernel_height rows",
         "limits.conv_kernel_height", nullptr, conv_kernel_height},
        {"conv_transpose_kernel",
         "kernels of a strided conv_transpose have at most limits.strided_transpose_kernel",
         "limits.strided_transpose_kernel", nullptr, conv_transpose_kernel},
        {"conv_input_channels", "convolutions take at most limits.conv_input_channels",
         "limits.conv_input_channels", nullptr, conv_input_channels},
        {"conv_bias", "conv's bias only where capabilities.conv_bias", "capabilities.conv_bias",
         nullptr, conv_bias},
        {"runtime_conv_weight", "conv's weight is a constant where the route wants it",
         "failures.runtime_conv_weight", nullptr, runtime_conv_weight},
        {"runtime_conv_weight_batch", "a conv whose weight is no constant has batch 1",
         "ane-guide ch. 19, on M1; ANEForge", nullptr, runtime_conv_weight_batch},
        {"matmul_rank", "matmul takes rank 4 at most", "ane-guide ch. 4, on M1", nullptr,
         matmul_rank},
        {"matmul_inner", "matmul and linear sum at most limits.max_inner products",
         "limits.max_inner", nullptr, matmul_inner},
        {"matmul_inner_multiple",
         "matmul of an input sums a multiple of limits.matmul_inner_multiple products",
         "limits.matmul_inner_multiple", nullptr, matmul_inner_multiple},
        {"transpose_matmul_rank", "matmul takes no transposed value of rank 5",
         "ANEForge op quirks", nullptr, transpose_matmul_rank},
        {"linear_rank", "linear takes rank 4 at most", "compiler's validator", nullptr,
         linear_rank},
        {"attention_mask", "attn_mask only where the route honours it",
         "capabilities.attention_mask", nullptr, attention_mask},
        {"attention_mask_shape", "attn_mask has one plane for all heads and a row for every query",
         "ANEForge op quirks, on M5", nullptr, attention_mask_shape},
        {"sdpa_sequence",
         "attention has at most limits.sdpa_sequence positions, and limits.sdpa_both of queries or "
         "keys",
         "limits.sdpa_sequence, limits.sdpa_both", nullptr, sdpa_sequence},
    };
}

}  // namespace pome::device::linting
