#include <algorithm>

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

using Reduce = reference::Tensor (*)(const reference::Tensor&, const std::vector<int>&);

template <Reduce reduce>
std::vector<reference::Tensor> evaluate(const Arguments& in) {
    const auto& x = in.tensor("x");
    reference::Tensor y = reduce(x, axes(in, "axes", x.shape));
    y.shape = infer_reduce(in).front().shape;
    return {std::move(y)};
}

std::vector<Type> infer_along_axis(const Arguments& in) {
    axis(in, in.integer("axis"), in.type("x").shape);
    return {in.type("x")};
}

std::vector<reference::Tensor> evaluate_softmax(const Arguments& in) {
    const auto& x = in.tensor("x");
    return {reference::softmax(x, axis(in, in.integer("axis"), x.shape))};
}

std::vector<reference::Tensor> evaluate_cumsum(const Arguments& in) {
    const auto& x = in.tensor("x");
    return {reference::cumsum(x, axis(in, in.integer("axis"), x.shape), in.boolean("exclusive"),
                              in.boolean("reverse"))};
}

}  // namespace

std::vector<Schema> reductions() {
    const Literal no = Literal::boolean(false);
    const std::vector<Parameter> parameters{tensor("x", numbers), optional_constant("axes"),
                                            constant("keep_dims", no)};
    const auto reduce = [&](std::string_view name, std::string_view meaning, auto meant) {
        return Schema{name, meaning, parameters, infer_reduce, meant};
    };
    return {
        reduce("reduce_sum", "sum of x along axes", evaluate<reference::reduce_sum>),
        reduce("reduce_mean", "mean of x along axes", evaluate<reference::reduce_mean>),
        reduce("reduce_max", "largest x along axes", evaluate<reference::reduce_max>),
        reduce("reduce_min", "smallest x along axes", evaluate<reference::reduce_min>),
        reduce("reduce_prod", "product of x along axes", evaluate<reference::reduce_prod>),
        reduce("reduce_sum_square", "sum of x^2 along axes",
               evaluate<reference::reduce_sum_square>),
        reduce("reduce_l1_norm", "sum of |x| along axes", evaluate<reference::reduce_l1_norm>),
        reduce("reduce_l2_norm", "square root of the sum of x^2 along axes",
               evaluate<reference::reduce_l2_norm>),
        reduce("reduce_log_sum", "log of the sum of x along axes",
               evaluate<reference::reduce_log_sum>),
        reduce("reduce_log_sum_exp", "log of the sum of exp(x) along axes",
               evaluate<reference::reduce_log_sum_exp>),
        {"softmax",
         "y = exp(x - m) / sum exp(x - m) along axis, m = max x",
         {tensor("x", floats), constant("axis", Literal::integer(-1))},
         infer_along_axis,
         evaluate_softmax},
        {"cumsum",
         "sums of x up to each element along axis; exclusive leaves the element out, reverse "
         "starts at the end",
         {tensor("x", numbers), constant("axis", Literal::integer(0)), constant("exclusive", no),
          constant("reverse", no)},
         infer_along_axis,
         evaluate_cumsum},
    };
}

}  // namespace pome::mil::ops
