#include <cmath>
#include <limits>

#include "mil/ops/op_test.h"
#include "mil/schema.h"

namespace pome::mil {
namespace {

struct UnaryCase {
    std::string op;
    double x, y;
};

// Values from tables of functions, not from this program.
const std::vector<UnaryCase> unary_cases{{"sigmoid", 1.0, 0.7310585786300049},
                                         {"tanh", 0.5, 0.46211715726000975},
                                         {"silu", 1.0, 0.7310585786300049},
                                         {"silu", -2.0, -0.2384058440442351},
                                         {"relu", -3.0, 0.0},
                                         {"relu", 3.0, 3.0},
                                         {"relu6", 7.0, 6.0},
                                         {"softplus", 0.0, 0.6931471805599453},
                                         {"softplus", 1000.0, 1000.0},
                                         {"softsign", -3.0, -0.75},
                                         {"exp", 1.0, 2.718281828459045},
                                         {"exp2", -2.0, 0.25},
                                         {"erf", 0.5, 0.5204998778130465},
                                         {"sqrt", 2.0, 1.4142135623730951},
                                         {"square", -3.0, 9.0},
                                         {"abs", -3.0, 3.0},
                                         {"sign", -3.0, -1.0},
                                         {"sign", 0.0, 0.0},
                                         {"floor", -1.5, -2.0},
                                         {"ceil", -1.5, -1.0},
                                         {"round", 2.5, 3.0},
                                         {"round", -2.5, -3.0},
                                         {"round", 2.4, 2.0},
                                         {"sin", 1.0, 0.8414709848078965},
                                         {"cos", 1.0, 0.5403023058681398},
                                         {"tan", 1.0, 1.5574077246549023},
                                         {"asin", 0.5, 0.5235987755982989},
                                         {"acos", 0.5, 1.0471975511965979},
                                         {"atan", 1.0, 0.7853981633974483},
                                         {"sinh", 1.0, 1.1752011936438014},
                                         {"cosh", 1.0, 1.5430806348152437},
                                         {"atanh", 0.5, 0.5493061443340548},
                                         {"gelu", 1.0, 0.8413447460685429},
                                         {"gelu", -1.0, -0.15865525393145707},
                                         {"log", 2.0, 0.6931471805599453},
                                         {"rsqrt", 4.0, 0.5},
                                         {"inverse", 4.0, 0.24999375015624609},
                                         {"leaky_relu", -2.0, -0.02},
                                         {"elu", -1.0, -0.6321205588285577},
                                         {"thresholded_relu", 0.5, 0.0},
                                         {"thresholded_relu", 1.5, 1.5},
                                         {"sigmoid_hard", 1.0, 0.7},
                                         {"sigmoid_hard", 9.0, 1.0},
                                         {"scaled_tanh", 0.5, 0.46211715726000975}};

TEST(ElementwiseUnary, GivesTabulatedValues) {
    for (const auto& [op, x, y] : unary_cases) {
        // Defaults such as alpha = 0.01 are stored in fp32: 2^-24 relative.
        EXPECT_NEAR(
            y_of("tensor<fp32, [1]>", {x}, "tensor<fp32, [1]> y = " + op + "(x = x);").front(), y,
            1e-7)
            << op;
    }
}

double with(const std::string& call, double x) {
    return y_of("tensor<fp32, [1]>", {x}, "tensor<fp32, [1]> y = " + call + ";").front();
}

TEST(ElementwiseUnary, TakesParameters) {
    EXPECT_EQ(with("clip(x = x, alpha = fp32(-1), beta = fp32(2))", 5), 2);
    EXPECT_EQ(with("clip(x = x, alpha = fp32(-1), beta = fp32(2))", -5), -1);
    EXPECT_EQ(with("clamped_relu(x = x, alpha = fp32(0.5), beta = fp32(2))", -4), -2);
    EXPECT_EQ(with("clamped_relu(x = x, alpha = fp32(0.5), beta = fp32(2))", 4), 2);
    EXPECT_EQ(with("linear_activation(x = x, alpha = fp32(2), beta = fp32(1))", 3), 7);
    EXPECT_EQ(with("leaky_relu(x = x, alpha = fp32(0.25))", -4), -1);
    EXPECT_EQ(with("inverse(x = x, epsilon = fp32(1))", 3), 0.25);
    EXPECT_EQ(with("rsqrt(x = x, epsilon = fp32(5))", 4), 1.0 / 3.0);
    EXPECT_NEAR(with("gelu(x = x, mode = string(\"TANH_APPROXIMATION\"))", 1), 0.8411919906082768,
                1e-12);
    EXPECT_NEAR(with("gelu(x = x, mode = string(\"SIGMOID_APPROXIMATION\"))", 1),
                0.8457957659328212, 1e-12);
    EXPECT_EQ(refusal_of("tensor<fp32, [1]> x",
                         "tensor<fp32, [1]> y = gelu(x = x, mode = string(\"ROUGH\"));"),
              "[mil.gelu] mode 'ROUGH' is not EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION "
              "(line 1, %y)");
    EXPECT_EQ(
        refusal_of("tensor<fp32, [1]> x", "tensor<fp32, [1]> y = clip(x = x, beta = fp32(2));"),
        "[mil.clip] 'alpha' is missing (line 1, %y)");
}

// A default belongs to x's type: 1e-12 is 0 in fp16, 1e-4 is 1.0001659e-4.
TEST(ElementwiseUnary, RoundsDefaultsToTheTypeOfX) {
    const auto y = [](const std::string& op, double x) {
        return y_of("tensor<fp16, [1]>", {x}, "tensor<fp16, [1]> y = " + op + "(x = x);").front();
    };
    EXPECT_EQ(y("rsqrt", 0), std::numeric_limits<double>::infinity());
    EXPECT_EQ(y("log", 0), -std::numeric_limits<double>::infinity());
    EXPECT_EQ(y("inverse", 0), 1.0 / (1678.0 * 0x1p-24));
    EXPECT_LT(y_of("tensor<fp32, [1]>", {0}, "tensor<fp32, [1]> y = log(x = x);").front(), -103);
    EXPECT_GT(y_of("tensor<fp32, [1]>", {0}, "tensor<fp32, [1]> y = log(x = x);").front(), -104);
}

TEST(Prelu, HasASlopeForEachChannel) {
    EXPECT_THAT(
        y_of("tensor<fp32, [1, 2, 2]>", {-1, 1, -1, 1},
             "tensor<fp32, [1, 2, 2]> y = prelu(x = x, alpha = tensor<fp32, [2]>([0.5, 0.25]));"),
        ElementsAre(-0.5, 1, -0.25, 1));
    EXPECT_EQ(
        refusal_of("tensor<fp32, [1, 2, 2]> x",
                   "tensor<fp32, [1, 2, 2]> y = prelu(x = x, alpha = tensor<fp32, [1]>([1]));"),
        "[mil.prelu] alpha [1] must be [2] (line 1, %y)");
}

TEST(Cast, TruncatesToIntegersAndKeepsFloats) {
    const std::vector<double> x{1.7, -1.7, 0.0, 0.1};
    EXPECT_THAT(y_of("tensor<fp32, [4]>", x,
                     "tensor<int32, [4]> y = cast(x = x, dtype = string(\"int32\"));"),
                ElementsAre(1, -1, 0, 0));
    EXPECT_EQ(y_of("tensor<fp32, [4]>", x,
                   "tensor<fp16, [4]> y = cast(x = x, dtype = string(\"fp16\"));"),
              x);
    EXPECT_THAT(y_of("tensor<fp32, [4]>", x,
                     "tensor<bool, [4]> y = cast(x = x, dtype = string(\"bool\"));"),
                ElementsAre(1, 1, 0, 1));
    EXPECT_EQ(refusal_of("fp32 x", "fp16 y = cast(x = x, dtype = string(\"half\"));"),
              "[mil.cast] dtype 'half' is not one to cast to (line 1, %y)");
    EXPECT_EQ(refusal_of("fp32 x", "fp32 y = cast(x = x, dtype = string(\"fp16\"));"),
              "[mil.cast] result 'y' is declared fp32, it is fp16 (line 1, %y)");
}

struct BinaryCase {
    std::string op;
    double x, y, result;
};

const std::vector<BinaryCase> binary_cases{
    {"add", 3, -2, 1},         {"sub", 3, -2, 5},        {"mul", 3, -2, -6},
    {"real_div", 3, -2, -1.5}, {"floor_div", 3, -2, -2}, {"mod", 3, -2, -1},
    {"mod", -3, 2, 1},         {"maximum", 3, -2, 3},    {"minimum", 3, -2, -2},
    {"pow", 3, -2, 1.0 / 9.0}, {"pow", 4, 0.5, 2}};

TEST(ElementwiseBinary, ComputesEachOp) {
    const std::string two = "tensor<fp32, [1]> x, tensor<fp32, [1]> z";
    for (const auto& c : binary_cases) {
        EXPECT_DOUBLE_EQ(run_text(two, "tensor<fp32, [1]> y = " + c.op + "(x = x, y = z);",
                                  {{"x", reference::Tensor({1}, std::vector<double>{c.x})},
                                   {"z", reference::Tensor({1}, std::vector<double>{c.y})}})
                             .at("y")
                             .data.front(),
                         c.result)
            << c.op;
    }
}

TEST(ElementwiseBinary, ComparesToBool) {
    const std::string two = "tensor<fp32, [3]> x, tensor<fp32, [3]> z";
    const Tensors inputs{{"x", {{3}, {1, 2, 3}}}, {"z", {{3}, {2, 2, 2}}}};
    const auto y = [&](const std::string& op) {
        return run_text(two, "tensor<bool, [3]> y = " + op + "(x = x, y = z);", inputs)
            .at("y")
            .data;
    };
    EXPECT_THAT(y("equal"), ElementsAre(0, 1, 0));
    EXPECT_THAT(y("not_equal"), ElementsAre(1, 0, 1));
    EXPECT_THAT(y("less"), ElementsAre(1, 0, 0));
    EXPECT_THAT(y("less_equal"), ElementsAre(1, 1, 0));
    EXPECT_THAT(y("greater"), ElementsAre(0, 0, 1));
    EXPECT_THAT(y("greater_equal"), ElementsAre(0, 1, 1));
}

TEST(ElementwiseBinary, JoinsBools) {
    const std::string two = "tensor<bool, [4]> x, tensor<bool, [4]> z";
    const Tensors inputs{{"x", {{4}, {0, 0, 1, 1}}}, {"z", {{4}, {0, 1, 0, 1}}}};
    const auto y = [&](const std::string& op) {
        return run_text(two, "tensor<bool, [4]> y = " + op + "(x = x, y = z);", inputs)
            .at("y")
            .data;
    };
    EXPECT_THAT(y("logical_and"), ElementsAre(0, 0, 0, 1));
    EXPECT_THAT(y("logical_or"), ElementsAre(0, 1, 1, 1));
    EXPECT_THAT(y("logical_xor"), ElementsAre(0, 1, 1, 0));
    EXPECT_THAT(y_of("tensor<bool, [2]>", {0, 1}, "tensor<bool, [2]> y = logical_not(x = x);"),
                ElementsAre(1, 0));
    EXPECT_EQ(refusal_of("fp16 x", "bool y = logical_not(x = x);"),
              "[mil.logical_not] 'x' is fp16, which this op does not take (line 1, %y)");
}

TEST(ElementwiseBinary, BroadcastsAsNumPyDoes) {
    const auto y = run_text("tensor<fp32, [2, 1, 3]> x, tensor<fp32, [2, 1]> z",
                            "tensor<fp32, [2, 2, 3]> y = add(x = x, y = z);",
                            {{"x", {{2, 1, 3}, counting(6)}}, {"z", {{2, 1}, {10, 20}}}})
                       .at("y");
    EXPECT_THAT(y.data, ElementsAre(11, 12, 13, 21, 22, 23, 14, 15, 16, 24, 25, 26));
    EXPECT_THAT(y_of("tensor<fp32, [2]>", {1, 2}, "tensor<fp32, [2]> y = mul(x = x, y = fp32(3));"),
                ElementsAre(3, 6));
    EXPECT_EQ(
        refusal_of("tensor<fp32, [2, 3]> x, tensor<fp32, [2, 2]> z",
                   "tensor<fp32, [2, 3]> y = add(x = x, y = z);"),
        "[mil.add] x [2,3] and y [2,2] do not broadcast: sizes must be equal or 1 (line 1, %y)");
    EXPECT_EQ(refusal_of("tensor<fp32, [2]> x", "tensor<fp32, [2]> y = add(x = x, y = fp16(1));"),
              "[mil.add] x is fp32 [2] and y is fp16; cast one (line 1, %y)");
}

TEST(Select, TakesWhatTheConditionSaysAndNothingElse) {
    const double infinity = std::numeric_limits<double>::infinity();
    const auto y = run_text("tensor<bool, [2, 1]> c, tensor<fp32, [2]> a, fp32 b",
                            "tensor<fp32, [2, 2]> y = select(cond = c, a = a, b = b);",
                            {{"c", {{2, 1}, {1, 0}}},
                             {"a", {{2}, {infinity, -0.0}}},
                             {"b", reference::Tensor(Shape{}, std::vector<double>{5})}})
                       .at("y");
    EXPECT_THAT(y.data, ElementsAre(infinity, 0, 5, 5));
    EXPECT_TRUE(std::signbit(y.data[1]));
    EXPECT_EQ(refusal_of("tensor<bool, [3]> c, tensor<fp32, [2]> a",
                         "tensor<fp32, [2]> y = select(cond = c, a = a, b = a);"),
              "[mil.select] cond [3], a [2] and b [2] do not broadcast: sizes must be equal or 1 "
              "(line 1, %y)");
}

TEST(Elementwise, ThresholdIsAMaximum) {
    EXPECT_THAT(y_of("tensor<fp32, [3]>", {-1, 0, 2},
                     "tensor<fp32, [3]> y = threshold(x = x, alpha = fp32(0.5));"),
                ElementsAre(0.5, 0.5, 2));
}

}  // namespace
}  // namespace pome::mil
