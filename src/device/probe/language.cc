// The dialect, and which ops and forms of ops the compiler takes.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

/// A program that compiles only where the capability is there.
struct Gate {
    std::string_view key;
    std::vector<TextInput> inputs;
    std::string_view body;
    std::vector<TextConstant> constants = {};
};

std::vector<Gate> gates() {
    const TextInput x = plane(row, row);
    return {
        {"capabilities.gelu",
         {x},
         "tensor<fp16, [1, 1, 32, 32]> y = gelu(x = x, mode = string(\"EXACT\"));"},
        {"capabilities.reduce_mean",
         {x},
         "tensor<fp16, [1, 1, 1, 32]> y = reduce_mean(x = x, axes = tensor<int32, [1]>([2]), "
         "keep_dims = bool(true));"},
        {"capabilities.inverse",
         {x},
         "tensor<fp16, [1, 1, 32, 32]> y = inverse(x = x, epsilon = fp16(0x1p-10));"},
        {"capabilities.norms",
         {x},
         "tensor<fp16, [1, 1, 32, 32]> y = layer_norm(x = x, axes = tensor<int32, [1]>([3]), "
         "epsilon = fp16(0x1p-10));"},
        {"capabilities.conv_bias",
         {{"x", {1, row, 1, row}, DType::fp16, {}, 0}},
         "tensor<fp16, [1, 32, 1, 32]> y = conv(x = x, weight = w, bias = b, strides = "
         "tensor<int32, [2]>([1, 1]), pad_type = string(\"valid\"), pad = tensor<int32, [4]>([0, "
         "0, 0, 0]), dilations = tensor<int32, [2]>([1, 1]), groups = int32(1));",
         {{"w", {row, row, 1, 1}, DType::fp16, ramp(row * row, 0.0, 0.0009765625)},
          {"b", {row}, DType::fp16, ramp(row, 1.0, 1.0)}}},
        {"capabilities.softmax_any_size",
         {plane(row, 3 * row)},
         "tensor<fp16, [1, 1, 32, 96]> y = softmax(x = x, axis = int32(-1));"},
        {"capabilities.rsqrt_after_reduction",
         {x},
         "tensor<fp16, [1, 1, 1, 32]> s = reduce_sum(x = x, axes = tensor<int32, [1]>([2]), "
         "keep_dims = bool(true)); tensor<fp16, [1, 1, 1, 32]> y = rsqrt(x = s, epsilon = "
         "fp16(0x1p-10));"},
        {"capabilities.square_activation",
         {plane(row, 3 * row)},
         "tensor<fp16, [1, 1, 32, 96]> s = square(x = x); tensor<fp16, [1, 1, 32, 96]> y = relu(x "
         "= s);"},
        {"capabilities.trigonometry", {x}, "tensor<fp16, [1, 1, 32, 32]> y = sin(x = x);"},
        {"capabilities.reflect_padding",
         {x},
         "tensor<fp16, [1, 1, 34, 32]> y = pad(x = x, pad = tensor<int32, [4]>([1, 1, 0, 0]), mode "
         "= string(\"reflect\"), constant_val = fp16(0x0p+0));"},
        {"capabilities.topk",
         {plane(1, 2 * row)},
         "tensor<fp16, [1, 1, 1, 32]> y, tensor<int32, [1, 1, 1, 32]> i = topk(x = x, k = "
         "int32(32), axis = int32(-1), ascending = bool(false));"},
    };
}

void find_front_end(Bench& bench) {
    const Outcome outcome = bench.compile(
        {{plane(row, row)},
         "tensor<fp16, [1, 1, 32, 32]> r = relu(x = x); tensor<fp16, [1, 1, 32, 32]> y = "
         "identity(x = r);"});
    bench.found("front_end", std::string(is_done(outcome) ? "book" : "sweep"),
                is_done(outcome) ? "identity compiles" : "identity " + words(outcome));
}

/// Ops that only one of the front ends knows tell nothing about the chip behind the other.
void find_behind_front_end(Bench& bench, bool known, std::string_view key, const Program& program) {
    const Outcome outcome = bench.compile(program);
    if (is_done(outcome) || known) {
        bench.found(std::string(key), is_done(outcome),
                    is_done(outcome) ? "compiles" : words(outcome));
    } else {
        bench.open(std::string(key), "the front end does not know the op: " + outcome.message);
    }
}

void find_mask(Bench& bench) {
    const std::string key = "capabilities.attention_mask", reacts = "failures.attention_mask";
    if (bench.dialect() != mil::Dialect::terse) {
        bench.open(key, "native attention needs a program for ios18, which does not compile here");
        return;
    }
    std::vector<double> mask(row * row, -30000.0);  // every query sees the first key only
    for (std::size_t i = 0; i < mask.size(); i += row) {
        mask[i] = 0.0;
    }
    const std::vector<double> x = ramp(row * row, 0.0, 0.0009765625);
    const auto attend = [&](std::string_view argument) {
        return bench.evaluate(
            {{plane(row, row, x)},
             fmt::format("tensor<fp16, [1, 1, 32, 32]> y = scaled_dot_product_attention(query = x, "
                         "key = x, value = x{});",
                         argument),
             {{"m", {1, 1, row, row}, DType::fp16, mask}}});
    };
    const Outcome masked = attend(", attn_mask = m"), unmasked = attend("");
    if (!is_done(masked) || !is_done(unmasked)) {
        bench.open(key, words(is_done(masked) ? unmasked : masked));
        return;
    }
    const double got = masked.values.back(), all = unmasked.values.back(), first = x[row - 1];
    const std::string seen = fmt::format(
        "a query that may see one key only gives {}; that key has {}, without a mask "
        "it gives {}",
        got, first, all);
    if (std::fabs(got - first) < 0.01) {
        bench.found(key, true, seen);
        bench.found(reacts, std::string("works"), seen);
    } else if (masked.values == unmasked.values) {
        bench.found(key, false, seen);
        bench.found(reacts, std::string("ignored"), seen);
    } else {
        bench.open(key, seen);
    }
}

}  // namespace

void probe_dialect(Bench& bench) {
    const Program simplest{{plane(row, row, ramp(row * row, 0.0, 1.0))},
                           "tensor<fp16, [1, 1, 32, 32]> y = relu(x = x);"};
    bench.set_dialect(mil::Dialect::terse);
    const Outcome terse = bench.evaluate(simplest);
    if (is_done(terse)) {
        bench.found("capabilities.terse_dialect", true, "program(1.3) for ios18 compiles");
        return;
    }
    bench.set_dialect(mil::Dialect::canonical);
    const Outcome canonical = bench.evaluate(simplest);
    if (!is_done(canonical)) {
        fail(Code::unsupported, "device.probe",
             "not even relu runs, in neither dialect: terse {}; canonical {}", words(terse),
             words(canonical));
    }
    bench.found("capabilities.terse_dialect", false,
                "program(1.0) for ios16 compiles, program(1.3) " + words(terse));
}

void probe_operations(Bench& bench) {
    find_front_end(bench);
    for (const Gate& gate : gates()) {
        const Outcome outcome =
            bench.compile({gate.inputs, std::string(gate.body), gate.constants});
        bench.found(std::string(gate.key), is_done(outcome),
                    is_done(outcome) ? "compiles" : words(outcome));
    }
    const Outcome concat = bench.compile(
        {{plane(row, row)},
         "tensor<fp16, [1, 1, 64, 32]> y = concat(values = (x, x), axis = int32(2), interleave = "
         "bool(false));"});
    bench.observed("concat", is_done(concat) ? "compiles" : words(concat));
    const Value* front_end = bench.find("front_end");
    const bool book = front_end != nullptr && text_of(*front_end) == "book";
    find_behind_front_end(
        bench, book, "capabilities.fp32_cast",
        {{{"x", {1, 1, row, row}, DType::fp32, {}, 0}},
         "tensor<fp16, [1, 1, 32, 32]> h = cast(x = x, dtype = string(\"fp16\")); tensor<fp16, [1, "
         "1, 32, 32]> r = relu(x = h); tensor<fp32, [1, 1, 32, 32]> y = cast(x = r, dtype = "
         "string(\"fp32\"));"});
    find_behind_front_end(bench, book, "capabilities.texture",
                          {{plane(row, row)},
                           "tensor<fp16, [1, 1, 4, 32]> y = gather(x = x, indices = tensor<int32, "
                           "[4]>([3, 2, 1, 0]), axis = int32(2));"});
    find_mask(bench);
}

}  // namespace pome::device::probe
