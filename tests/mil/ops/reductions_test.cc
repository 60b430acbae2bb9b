#include <cmath>

#include "mil/ops/op_test.h"

namespace pome::mil {
namespace {

const std::string x23 = "tensor<fp32, [2, 3]>";
const std::vector<double> values{1, 2, 3, 4, 5, -6};

std::vector<double> reduced(const std::string& op, const std::string& type,
                            const std::string& rest = "") {
    return y_of(x23, values, type + " y = " + op + "(x = x" + rest + ");");
}

TEST(Reductions, TakeAllAxesByDefault) {
    EXPECT_THAT(reduced("reduce_sum", "fp32"), ElementsAre(9));
    EXPECT_THAT(reduced("reduce_mean", "fp32"), ElementsAre(1.5));
    EXPECT_THAT(reduced("reduce_max", "fp32"), ElementsAre(5));
    EXPECT_THAT(reduced("reduce_min", "fp32"), ElementsAre(-6));
    EXPECT_THAT(reduced("reduce_prod", "fp32"), ElementsAre(-720));
    EXPECT_THAT(reduced("reduce_sum_square", "fp32"), ElementsAre(91));
    EXPECT_THAT(reduced("reduce_l1_norm", "fp32"), ElementsAre(21));
    EXPECT_THAT(reduced("reduce_l2_norm", "fp32"), ElementsAre(std::sqrt(91)));
    EXPECT_THAT(reduced("reduce_log_sum", "fp32"), ElementsAre(std::log(9)));
}

TEST(Reductions, TakeNegativeAxesAndKeepThem) {
    EXPECT_THAT(reduced("reduce_sum", "tensor<fp32, [2]>", ", axes = tensor<int32, [1]>([-1])"),
                ElementsAre(6, 3));
    EXPECT_THAT(reduced("reduce_sum", "tensor<fp32, [1, 3]>",
                        ", axes = tensor<int32, [1]>([0]), keep_dims = true"),
                ElementsAre(5, 7, -3));
    EXPECT_THAT(reduced("reduce_mean", "tensor<fp32, [2, 1]>",
                        ", axes = tensor<int32, [1]>([1]), keep_dims = true"),
                ElementsAre(2, 1));
    EXPECT_THAT(reduced("reduce_max", "tensor<fp32, [1, 1]>",
                        ", axes = tensor<int32, [2]>([1, 0]), keep_dims = true"),
                ElementsAre(5));
}

TEST(Reductions, LogSumExpStaysFinite) {
    const auto y = [](double a, double b) {
        return y_of("tensor<fp32, [2]>", {a, b}, "fp32 y = reduce_log_sum_exp(x = x);").front();
    };
    EXPECT_DOUBLE_EQ(y(1000, 1000), 1000 + std::log(2));
    EXPECT_DOUBLE_EQ(y(-1000, -1000), -1000 + std::log(2));
    EXPECT_EQ(y(-INFINITY, -INFINITY), -INFINITY);
    EXPECT_EQ(y(INFINITY, 0), INFINITY);
}

TEST(Reductions, NameTheAxis) {
    const auto refused = [](const std::string& rest) {
        return refusal_of(x23 + " x", "fp32 y = reduce_sum(x = x" + rest + ");");
    };
    EXPECT_EQ(refused(", axes = tensor<int32, [1]>([2])"),
              "[mil.reduce_sum] axis 2 of x [2,3] is not in [-2, 2) (line 1, %y)");
    EXPECT_EQ(refused(", axes = tensor<int32, [2]>([1, -1])"),
              "[mil.reduce_sum] axis -1 is given twice (line 1, %y)");
    EXPECT_EQ(refused(", keep_dims = true"),
              "[mil.reduce_sum] result 'y' is declared fp32, it is fp32 [1,1] (line 1, %y)");
    EXPECT_EQ(refused(", axis = int32(1)"),
              "[mil.reduce_sum] has no parameter 'axis' (line 1, %y)");
    EXPECT_EQ(refused(", axes = tensor<fp32, [1]>([1])"),
              "[mil.reduce_sum] 'axes' must be integers, it is fp32 [1] (line 1, %y)");
}

TEST(Softmax, SumsToOneAlongItsAxis) {
    const double a = 1 / (1 + std::exp(1)), b = 1 - a;
    const auto near = [](const std::vector<double>& y) { return Pointwise(DoubleNear(1e-15), y); };
    EXPECT_THAT(y_of("tensor<fp32, [2, 2]>", {1, 2, 1000, 1001},
                     "tensor<fp32, [2, 2]> y = softmax(x = x);"),
                near({a, b, a, b}));
    EXPECT_THAT(y_of("tensor<fp32, [2, 2]>", {1, 1000, 2, 1001},
                     "tensor<fp32, [2, 2]> y = softmax(x = x, axis = int32(0));"),
                near({a, a, b, b}));
    EXPECT_THAT(y_of("tensor<fp32, [2, 2, 1]>", {1, 1000, 2, 1001},
                     "tensor<fp32, [2, 2, 1]> y = softmax(x = x, axis = int32(-3));"),
                near({a, a, b, b}));
    EXPECT_EQ(
        refusal_of("tensor<fp32, [2]> x", "tensor<fp32, [2]> y = softmax(x = x, axis = int32(1));"),
        "[mil.softmax] axis 1 of x [2] is not in [-1, 1) (line 1, %y)");
    EXPECT_EQ(refusal_of("tensor<int32, [2]> x", "tensor<int32, [2]> y = softmax(x = x);"),
              "[mil.softmax] 'x' is int32 [2], which this op does not take (line 1, %y)");
}

TEST(Cumsum, SumsUpToEachElement) {
    const auto y = [](const std::string& rest) {
        return y_of(x23, counting(6), "tensor<fp32, [2, 3]> y = cumsum(x = x" + rest + ");");
    };
    EXPECT_THAT(y(""), ElementsAre(1, 2, 3, 5, 7, 9));
    EXPECT_THAT(y(", axis = int32(1)"), ElementsAre(1, 3, 6, 4, 9, 15));
    EXPECT_THAT(y(", axis = int32(1), exclusive = true"), ElementsAre(0, 1, 3, 0, 4, 9));
    EXPECT_THAT(y(", axis = int32(1), reverse = true"), ElementsAre(6, 5, 3, 15, 11, 6));
    EXPECT_THAT(y(", axis = int32(1), reverse = true, exclusive = true"),
                ElementsAre(5, 3, 0, 11, 6, 0));
}

const double inverse_deviation = 1 / std::sqrt(1.25 + 0.75);  // of 1, 2, 3, 4 with epsilon 0.75

TEST(LayerNorm, NormalizesAlongAxes) {
    const std::string epsilon = ", epsilon = fp32(0.75)";
    const auto near = [](const std::vector<double>& y) { return Pointwise(DoubleNear(1e-12), y); };
    const double r = inverse_deviation;
    EXPECT_THAT(y_of("tensor<fp32, [2, 2]>", counting(4),
                     "tensor<fp32, [2, 2]> y = layer_norm(x = x" + epsilon + ");"),
                near({-1.5 * r, -0.5 * r, 0.5 * r, 1.5 * r}));
    EXPECT_THAT(
        y_of("tensor<fp32, [1, 4]>", counting(4),
             "tensor<fp32, [1, 4]> y = layer_norm(x = x, axes = tensor<int32, [1]>([-1]), gamma = "
             "tensor<fp32, [4]>([1, 1, 1, 2]), beta = tensor<fp32, [4]>([0, 0, 10, 0])" +
                 epsilon + ");"),
        near({-1.5 * r, -0.5 * r, 10 + 0.5 * r, 3 * r}));
    EXPECT_EQ(
        refusal_of(
            "tensor<fp32, [1, 4]> x",
            "tensor<fp32, [1, 4]> y = layer_norm(x = x, axes = tensor<int32, [1]>([1]), gamma = "
            "tensor<fp32, [1]>([1]));"),
        "[mil.layer_norm] gamma [1] must be [4] (line 1, %y)");
}

TEST(ChannelNorms, HaveOneParameterForEachChannel) {
    const auto near = [](const std::vector<double>& y) { return Pointwise(DoubleNear(1e-12), y); };
    const double r = inverse_deviation;
    EXPECT_THAT(y_of("tensor<fp32, [1, 2, 4]>", {1, 2, 3, 4, 4, 3, 2, 1},
                     "tensor<fp32, [1, 2, 4]> y = instance_norm(x = x, gamma = tensor<fp32, "
                     "[2]>([1, 2]), beta = tensor<fp32, [2]>([0, 1]), epsilon "
                     "= fp32(0.75));"),
                near({-1.5 * r, -0.5 * r, 0.5 * r, 1.5 * r, 1 + 3 * r, 1 + r, 1 - r, 1 - 3 * r}));
    EXPECT_THAT(y_of("tensor<fp32, [1, 2, 1]>", {5, 5},
                     "tensor<fp32, [1, 2, 1]> y = batch_norm(x = x, mean = tensor<fp32, [2]>([1, "
                     "2]), variance = tensor<fp32, [2]>([3, 8]), gamma = "
                     "tensor<fp32, [2]>([1, 2]), epsilon = fp32(1));"),
                near({2, 2}));
    EXPECT_EQ(refusal_of("tensor<fp32, [1, 2, 1]> x",
                         "tensor<fp32, [1, 2, 1]> y = batch_norm(x = x, mean = tensor<fp32, "
                         "[1]>([1]), variance = "
                         "tensor<fp32, [2]>([3, 8]));"),
              "[mil.batch_norm] mean [1] must be [2] (line 1, %y)");
    EXPECT_THAT(y_of("tensor<fp32, [1, 2, 1, 1]>", {3, 4},
                     "tensor<fp32, [1, 2, 1, 1]> y = l2_norm(x = x, epsilon = fp32(0));"),
                near({0.6, 0.8}));
    EXPECT_EQ(refusal_of("tensor<fp32, [2, 2]> x", "tensor<fp32, [2, 2]> y = l2_norm(x = x);"),
              "[mil.l2_norm] x [2,2] must have rank 3 or more (line 1, %y)");
}

TEST(LocalResponseNorm, DividesByItsNeighbours) {
    EXPECT_THAT(
        y_of("tensor<fp32, [1, 3, 1]>", {1, 2, 3},
             "tensor<fp32, [1, 3, 1]> y = local_response_norm(x = x, size = int32(3), alpha "
             "= fp32(3), beta = fp32(1), k = fp32(1));"),
        Pointwise(DoubleNear(1e-12), {1.0 / 6, 2.0 / 15, 3.0 / 14}));
}

}  // namespace
}  // namespace pome::mil
