// What single ops give on the engine, each from the source that its comment names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"
#include "device/emulator/emulator.h"
#include "device/emulator/plan.h"
#include "mil/passes/decompose.h"
#include "mil/text.h"
#include "reference/scalar.h"
#include "support/expect_error.h"
#include "support/test_data.h"

namespace pome::device::emulator {
namespace {

using testing::ElementsAre;
using testing::FloatNear;

constexpr float inf = std::numeric_limits<float>::infinity();

/// Steps of a program under a profile, without what its route refuses of small surfaces.
class Program {
  public:
    Program(const std::string& profile, const std::string& parameters, const std::string& body)
        : package_{mil::read("program(1.3)\n{\n  func main<ios18>(" + parameters + ") {\n" + body +
                             "\n  } -> (y);\n}\n"),
                   {}},
          function_(mil::passes::decompose(package_.program.functions.front(), {},
                                           {find_profile(profile).capabilities.attention_mask})),
          plan_(package_, function_, find_profile(profile), tables_) {}

    std::vector<float> run(const std::vector<std::vector<float>>& inputs) {
        std::vector<Surface> surfaces;
        surfaces.reserve(function_.parameters.size());
        Bindings bindings;
        for (std::size_t i = 0; i < function_.parameters.size(); ++i) {
            const auto& parameter = function_.parameters[i];
            Surface& surface = surfaces.emplace_back(parameter.type);
            for (std::size_t k = 0; k < inputs[i].size(); ++k) {
                if (parameter.type.dtype == DType::fp16) {
                    surface.halves()[k] = to_fp16(inputs[i][k], Rounding::nearest_even);
                } else {
                    surface.bytes()[k] = static_cast<std::byte>(static_cast<int>(inputs[i][k]));
                }
            }
            bindings.inputs.emplace(parameter.name, &surface);
        }
        Surface y(*function_.find_type("y"));
        bindings.outputs.emplace("y", &y);
        kernels::MatmulScratch scratch;
        kernels::MatmulStatistics statistics;
        plan_.evaluate(bindings, pool_, scratch, statistics);
        std::vector<float> values;
        for (std::int64_t i = 0; i < y.elements(); ++i) {
            values.push_back(y.type().dtype == DType::fp16
                                 ? to_float(y.halves()[i])
                                 : static_cast<float>(static_cast<std::int8_t>(
                                       y.bytes()[static_cast<std::size_t>(i)])));
        }
        return values;
    }

  private:
    mil::Package package_;
    mil::Function function_;
    Tables tables_;
    Plan plan_;
    ThreadPool pool_{1};
};

std::string row(std::size_t count) {
    return "tensor<fp16, [1, 1, 1, " + std::to_string(count) + "]>";
}

/// y = op(x) of a row of halves.
std::vector<float> unary(const std::string& profile, const std::string& op,
                         const std::vector<float>& x, const std::string& more = "") {
    const std::string type = row(x.size());
    return Program(profile, type + " x", "    " + type + " y = " + op + "(x = x" + more + ");")
        .run({x});
}

// ANEForge issue 113 (M5): beyond some 10.4 softplus collapses. spec.md 10.3, E13.
TEST(EngineOps, SoftplusCollapses) {
    EXPECT_THAT(unary("m5", "softplus", {5, 10, 11, 12, 88, 1000}),
                ElementsAre(FloatNear(5.008F, 0.01F), FloatNear(10.0F, 0.01F), 0, 0, 0, 0));
}

// ane-guide ch. 3 (M1). E12.
TEST(EngineOps, SoftplusAndSoftsignOfInfinityAreZero) {
    EXPECT_THAT(unary("m1", "softplus", {inf}), ElementsAre(0));
    EXPECT_THAT(unary("m1", "softsign", {inf, -inf}), ElementsAre(0, 0));
}

// coremltools PR 2726 (M5): no maximum is subtracted, so that large x overflow, to 0. R14.
TEST(EngineOps, LogSumExpOfLargeValuesIsZero) {
    const auto y = [](float x) {
        return Program("m5", row(4) + " x",
                       "    tensor<fp16, [1, 1, 1, 1]> y = reduce_log_sum_exp(x = x, axes = "
                       "tensor<int32, [1]>([-1]), keep_dims = bool(true));")
            .run({{x, x, x, x}});
    };
    EXPECT_THAT(y(2.0F), ElementsAre(FloatNear(3.386F, 0.01F)));
    EXPECT_THAT(y(20.0F), ElementsAre(0));
}

/// Relative error (Frobenius) of an op against its meaning on normal data.
double relative_error(const std::string& op, double (*f)(double), const std::string& more = "") {
    Random random(5);
    std::vector<float> x(4096);
    for (float& value : x) {
        value = to_float(to_fp16(random.normal(), Rounding::nearest_even));
    }
    const auto y = unary("m5", op, x, more);
    double off = 0.0, size = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = f(static_cast<double>(x[i]));
        off += std::pow(static_cast<double>(y[i]) - exact, 2);
        size += exact * exact;
    }
    return std::sqrt(off / size);
}

// ANEForge's sweep of an M5. E19: within a factor of 1.5.
TEST(EngineOps, TablesHaveTheErrorsOfTheSweep) {
    const auto within = [](double found, double published) {
        EXPECT_LT(found, 1.5 * published);
        EXPECT_GT(found, published / 1.5);
    };
    within(relative_error(
               "elu", [](double x) { return reference::elu(x, 1.0); }, ", alpha = fp16(1)"),
           5.06e-3);
    within(relative_error("atan", reference::atan), 0.0188);
    EXPECT_LT(relative_error("softsign", reference::softsign), 1.5 * 7.6e-4);
    EXPECT_LT(relative_error(
                  "scaled_tanh", [](double x) { return reference::scaled_tanh(x, 1.0, 1.0); },
                  ", alpha = fp16(1), beta = fp16(1)"),
              1.5 * 1.72e-3);
    EXPECT_LT(relative_error(
                  "sigmoid_hard", [](double x) { return reference::sigmoid_hard(x, 0.25, 0.5); },
                  ", alpha = fp16(0.25), beta = fp16(0.5)"),
              1.5 * 2.6e-4);
}

// ane-guide ch. 3 (M1): a pointwise convolution of one channel is no sum of products. N07.
TEST(EngineOps, ConvOfOneChannelPassesTheLimitOfSums) {
    const auto y = [](const std::string& channels) {
        return Program("m1", "tensor<fp16, [1, " + channels + ", 1, 2]> x",
                       "    tensor<fp16, [1, 1, 1, 2]> y = conv(x = x, weight = tensor<fp16, [1, " +
                           channels + ", 1, 1]>(" +
                           (channels == "1" ? "[[[[1]]]]" : "[[[[1]], [[0]]]]") + "));");
    };
    EXPECT_THAT(y("1").run({{60000, -60000}}), ElementsAre(60000, -60000));
    EXPECT_THAT(y("2").run({{60000, -60000, 0, 0}}), ElementsAre(inf, -inf));
}

// ane-guide ch. 3, 19 and ANEForge's bisection: M1 and M2 multiply by 16 on the way. S01 to S05.
TEST(EngineOps, WidthSlicesSaturateOnTheM1AndM2) {
    const std::vector<float> x{0, 4094, 4096, -4096, 60000, 1, 2, 3};
    const std::string by_size =
        "    tensor<fp16, [1, 1, 1, 7]> y = slice_by_size(x = x, begin = tensor<int32, [4]>([0, 0, "
        "0, "
        "1]), size = tensor<int32, [4]>([1, 1, 1, 7]));";
    const std::string by_index =
        "    tensor<fp16, [1, 1, 1, 7]> y = slice_by_index(x = x, begin = tensor<int32, [4]>([0, "
        "0, "
        "0, 1]), end = tensor<int32, [4]>([1, 1, 1, 8]));";
    const std::string crop =
        "    tensor<fp16, [1, 1, 1, 7]> y = crop(x = x, crop_height = tensor<int32, [2]>([0, 0]), "
        "crop_width = tensor<int32, [2]>([1, 0]));";
    for (const auto& body : {by_size, by_index, crop}) {
        for (const char* chip : {"m1/e5rt", "m2/e5rt"}) {
            EXPECT_THAT(Program(chip, row(8) + " x", body).run({x}),
                        ElementsAre(4094, inf, -inf, inf, 1, 2, 3))
                << chip << body;
        }
        EXPECT_THAT(Program("m4/e5rt", row(8) + " x", body).run({x}),
                    ElementsAre(4094, 4096, -4096, 60000, 1, 2, 3));
    }
    const std::string whole =
        "    tensor<fp16, [1, 1, 1, 7]> y = slice_by_size(x = x, begin = tensor<int32, [4]>([0, 0, "
        "0, "
        "0]), size = tensor<int32, [4]>([1, 1, 1, 7]));";
    EXPECT_THAT(Program("m1/e5rt", row(8) + " x", whole).run({x}),
                ElementsAre(0, 4094, 4096, -4096, 60000, 1, 2));
}

// The group dot product of the M5 Pro (spec.md 10.1, N24): integers are summed, the sum is rounded,
// then scaled. Where they are folded into halves first, as on the M1, the end differs.
TEST(EngineOps, EightBitWeightsAreScaledAfterTheSum) {
    const std::string weights =
        "2, -2, 4, -7, 1, 0, -6, -3, 3, 1, -6, 0, -2, -6, -6, 1, 5, 5, 5, 6, 7, 3, -8, -1, 1, 2, "
        "-3, "
        "4, -2, 0, 2, -7";
    const std::vector<float> x{
        -.1640625F,  -.02734375F, .01953125F,  .09765625F,  -.0078125F,  .0234375F,   .0703125F,
        .0234375F,   -.1328125F,  .0390625F,   -.02734375F, .0234375F,   .03125F,     .109375F,
        .0390625F,   .00390625F,  .02734375F,  .02734375F,  -.06640625F, -.02734375F, -.10546875F,
        -.32421875F, .234375F,    -.02734375F, -.03125F,    -.09375F,    .05859375F,  -.0625F,
        -.03515625F, .0703125F,   .01171875F,  .1640625F};
    const std::string body =
        "    tensor<fp16, [1, 32]> w = constexpr_affine_dequantize()[quantized_data = tensor<int8, "
        "[1, 32]>([[" +
        weights +
        "]]), scale = fp16(0.007476806640625), zero_point = int8(0), axis = int32(0), name = "
        "string(\"w\")];\n"
        "    tensor<fp16, [1, 1]> y = matmul(x = x, y = w, transpose_x = bool(false), transpose_y "
        "= "
        "bool(true));";
    EXPECT_THAT(Program("m5/e5rt", "tensor<fp16, [1, 32]> x", body).run({x}),
                ElementsAre(-0.05987548828125F));
    EXPECT_THAT(Program("m1/e5rt", "tensor<fp16, [1, 32]> x", body).run({x}),
                ElementsAre(FloatNear(-0.0599F, 5e-5F)));
    EXPECT_NE(Program("m1/e5rt", "tensor<fp16, [1, 32]> x", body).run({x}).front(),
              -0.05987548828125F);
}

// The M4/M6 study (spec.md 3.11): both quantized, the sum is an int32 and may exceed 2^15 once
// scaled.
TEST(EngineOps, QuantizedProductsAreSummedAsIntegers) {
    const std::string body =
        "    tensor<fp16, [1, 64]> a = dequantize(input = q, scale = fp16(0.25));\n"
        "    tensor<fp16, [64, 1]> w = constexpr_affine_dequantize()[quantized_data = tensor<int8, "
        "[64, 1]>([" +
        [] {
            std::string list;
            for (int i = 0; i < 64; ++i) {
                list += std::string(i > 0 ? ", " : "") + "[127]";
            }
            return list;
        }() +
        "]), scale = fp16(0.25), zero_point = int8(0), axis = int32(0), name = string(\"w\")];\n"
        "    tensor<fp16, [1, 1]> y = matmul(x = a, y = w, transpose_x = bool(false), transpose_y "
        "= "
        "bool(false));";
    const std::vector<float> q(64, 100);
    // 64 * 100 * 127 / 16 = 50800, halfway between two halves: away from zero.
    EXPECT_THAT(Program("m4/e5rt", "tensor<int8, [1, 64]> q", body).run({q}), ElementsAre(50816));
    EXPECT_THAT(Program("m1/e5rt", "tensor<int8, [1, 64]> q", body).run({q}), ElementsAre(inf));
}

// Assumed: sums on the multiply-accumulate path, one rounding after the factor.
TEST(EngineOps, AveragesAreSumsWithTheLimitOfSums) {
    const auto y = [](float x) {
        return Program("m4", "tensor<fp16, [1, 1, 3, 3]> x",
                       "    tensor<fp16, [1, 1, 1, 1]> y = avg_pool(x = x, kernel_sizes = "
                       "tensor<int32, [2]>([3, 3]), pad_type = string(\"valid\"));")
            .run({std::vector<float>(9, x)});
    };
    EXPECT_THAT(y(3000), ElementsAre(3000));
    EXPECT_THAT(y(4000), ElementsAre(inf));
}

// spec.md 2.2: the bias of linear is an addition after the product was rounded.
TEST(EngineOps, LinearAddsItsBiasAfterTheRounding) {
    EXPECT_THAT(Program("m4", "tensor<fp16, [1, 2]> x",
                        "    tensor<fp16, [1, 1]> y = linear(x = x, weight = tensor<fp16, [1, "
                        "2]>([[1, 1]]), bias = tensor<fp16, [1]>([-2048]));")
                    .run({{2048, 1}}),
                ElementsAre(2));  // 2049 is stored as 2050
}

// maderix/ANE, Orion: the raw route ignores the mask; ANEForge: e5rt honours it.
TEST(EngineOps, AttentionMasksCountByRoute) {
    const std::string three = "tensor<fp16, [1, 1, 1, 1]> q, tensor<fp16, [1, 1, 2, 1]> k, ";
    const std::string body =
        "    tensor<fp16, [1, 1, 1, 1]> y = scaled_dot_product_attention(query = q, key = k, value "
        "= "
        "v, attn_mask = tensor<fp16, [1, 2]>([[0, -30000]]));";
    const auto y = [&](const char* profile) {
        return Program(profile, three + "tensor<fp16, [1, 1, 2, 1]> v", body)
            .run({{1}, {1, 1}, {2, 4}});
    };
    EXPECT_THAT(y("m4/in-memory"), ElementsAre(3));
    EXPECT_THAT(y("m4/e5rt"), ElementsAre(2));
}

// ane-guide ch. 4; ANEForge: F08, F19.
TEST(EngineOps, IntegersAndSmallTopKAreRefused) {
    const auto refusal = [](const std::string& parameters, const std::string& body) {
        return error_text([&] { Program("m4/client", parameters, body); });
    };
    EXPECT_EQ(
        refusal("tensor<uint8, [1, 4]> x", "    tensor<uint8, [1, 4]> y = add(x = x, y = x);"),
        "[emulator.compile] add: Param 'x' got uint8 [1,4]: integers feed cast and dequantize "
        "only; use one of them first (line 4, %y)");
    EXPECT_EQ(
        refusal("tensor<fp16, [1, 8]> x",
                "    tensor<fp16, [1, 3]> y, tensor<int32, [1, 3]> i = topk(x = x, k = "
                "int32(3));"),
        "[emulator.compile] topk: k of 3 and 4 fail on every chip; take k = 5 and slice (line "
        "4, %y)");
}

TEST(EngineOps, BytesComeInAndGoOut) {
    const std::string body =
        "    tensor<fp16, [1, 4]> h = cast(dtype = string(\"fp16\"), x = x);\n"
        "    tensor<fp16, [1, 4]> s = mul(x = h, y = fp16(1.5));\n"
        "    tensor<int8, [1, 4]> y = cast(dtype = string(\"int8\"), x = s);";
    EXPECT_THAT(Program("m4", "tensor<uint8, [1, 4]> x", body).run({{0, 1, 3, 200}}),
                ElementsAre(0, 1, 4, 127));
    const std::string quantize =
        "    tensor<int8, [1, 4]> y = quantize(input = x, scale = fp16(2), output_dtype = "
        "string(\"int8\"));";
    EXPECT_THAT(Program("m4", "tensor<fp16, [1, 4]> x", quantize).run({{1, -1, 5, -1000}}),
                ElementsAre(1, -1, 3, -128));
}

}  // namespace
}  // namespace pome::device::emulator
