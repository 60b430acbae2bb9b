#include <algorithm>
#include <cmath>
#include <limits>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

std::vector<Type> infer_reduce(const Arguments& in) {
    const Type& x = in.type("x");
    const auto reduced = axes(in, "axes", x.shape);
    const bool keep = in.boolean("keep_dims");
    std::vector<std::int64_t> sizes;
    for (int i = 0; i < x.shape.rank(); ++i) {
        const bool gone = std::find(reduced.begin(), reduced.end(), i) != reduced.end();
        if (!gone) {
            sizes.push_back(x.shape[i]);
        }
        if (gone && keep) {
            sizes.push_back(1);
        }
    }
    return {Type::tensor(x.dtype, Shape(sizes))};
}

using Fold = double (*)(double, double);
using Finish = double (*)(double, std::int64_t);

double sum(double total, double x) {
    return total + x;
}
double sum_square(double total, double x) {
    return total + x * x;
}
double sum_absolute(double total, double x) {
    return total + std::fabs(x);
}
double sum_exp(double total, double x) {
    return total + std::exp(x);
}
double largest(double total, double x) {
    return std::max(total, x);
}
double smallest(double total, double x) {
    return std::min(total, x);
}
double as_it_is(double total, std::int64_t) {
    return total;
}
double mean(double total, std::int64_t count) {
    return total / static_cast<double>(count);
}
double root(double total, std::int64_t) {
    return std::sqrt(total);
}
double logarithm(double total, std::int64_t) {
    return std::log(total);
}

enum class Start { zero, lowest, highest };

template <Fold fold, Finish finish, Start start = Start::zero>
std::vector<reference::Tensor> evaluate_reduce(const Arguments& in) {
    const auto& x = in.tensor("x");
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr double first = start == Start::lowest    ? -infinity
                             : start == Start::highest ? infinity
                                                       : 0.0;
    reference::Tensor y = reference::reduce(x, axes(in, "axes", x.shape), first, fold, finish);
    y.shape = infer_reduce(in).front().shape;
    return {std::move(y)};
}

std::vector<Type> infer_softmax(const Arguments& in) {
    axis(in, in.integer("axis"), in.type("x").shape);
    return {in.type("x")};
}

std::vector<reference::Tensor> evaluate_softmax(const Arguments& in) {
    const auto& x = in.tensor("x");
    return {reference::softmax(x, axis(in, in.integer("axis"), x.shape))};
}

}  // namespace

std::vector<Schema> reductions() {
    const std::vector<Parameter> parameters{tensor("x", numbers), optional_constant("axes"),
                                            constant("keep_dims", Literal::boolean(false))};
    const auto reduce = [&](std::string_view name, std::string_view meaning, auto evaluate) {
        return Schema{name, meaning, parameters, infer_reduce, evaluate};
    };
    return {
        reduce("reduce_sum", "sum of x along axes", evaluate_reduce<sum, as_it_is>),
        reduce("reduce_mean", "mean of x along axes", evaluate_reduce<sum, mean>),
        reduce("reduce_max", "largest x along axes",
               evaluate_reduce<largest, as_it_is, Start::lowest>),
        reduce("reduce_min", "smallest x along axes",
               evaluate_reduce<smallest, as_it_is, Start::highest>),
        reduce("reduce_sum_square", "sum of x^2 along axes", evaluate_reduce<sum_square, as_it_is>),
        reduce("reduce_l1_norm", "sum of |x| along axes", evaluate_reduce<sum_absolute, as_it_is>),
        reduce("reduce_l2_norm", "square root of the sum of x^2 along axes",
               evaluate_reduce<sum_square, root>),
        reduce("reduce_log_sum", "log of the sum of x along axes", evaluate_reduce<sum, logarithm>),
        reduce("reduce_log_sum_exp", "log of the sum of exp(x) along axes",
               evaluate_reduce<sum_exp, logarithm>),
        {"softmax",
         "y = exp(x - m) / sum exp(x - m) along axis, m = max x",
         {tensor("x", floats), constant("axis", Literal::integer(-1))},
         infer_softmax,
         evaluate_softmax},
    };
}

}  // namespace pome::mil::ops
