#include <limits>

#include "mil/ops/equation.h"
#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

Shape leading(const Shape& shape) {
    return Shape(std::vector<std::int64_t>(shape.begin(), shape.end() - 2));
}

std::vector<Type> infer_matmul(const Arguments& in) {
    const Type &x = in.type("x"), &y = in.type("y");
    if (x.shape.rank() < 2 || y.shape.rank() < 2) {
        in.fail("x {} and y {} must have rank 2 or more", x.shape.text(), y.shape.text());
    }
    expect_same_dtype(in, "x", "y");
    const bool tx = in.boolean("transpose_x"), ty = in.boolean("transpose_y");
    const std::int64_t inner_x = x.shape[tx ? -2 : -1], inner_y = y.shape[ty ? -1 : -2];
    if (inner_x != inner_y) {
        in.fail("x {} and y {}: inner sizes {} and {} differ", x.shape.text(), y.shape.text(),
                inner_x, inner_y);
    }
    Shape batch;
    if (!broadcast(leading(x.shape), leading(y.shape), batch)) {
        in.fail("x {} and y {}: the leading axes do not broadcast", x.shape.text(), y.shape.text());
    }
    auto sizes = batch.sizes();
    sizes.push_back(x.shape[tx ? -1 : -2]);
    sizes.push_back(y.shape[ty ? -2 : -1]);
    return {Type::tensor(x.dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_matmul(const Arguments& in) {
    return {reference::matmul(in.tensor("x"), in.tensor("y"), in.boolean("transpose_x"),
                              in.boolean("transpose_y"))};
}

std::vector<Type> infer_linear(const Arguments& in) {
    const Type &x = in.type("x"), &weight = in.type("weight");
    if (weight.shape.rank() != 2 || x.shape.rank() < 1) {
        in.fail("x {} must have rank 1 or more and weight {} rank 2", x.shape.text(),
                weight.shape.text());
    }
    if (x.shape[-1] != weight.shape[1]) {
        in.fail("x {} and weight {}: the last sizes {} and {} differ", x.shape.text(),
                weight.shape.text(), x.shape[-1], weight.shape[1]);
    }
    auto sizes = x.shape.sizes();
    sizes.back() = weight.shape[0];
    expect_shape(in, "bias", {weight.shape[0]});
    return {Type::tensor(x.dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_linear(const Arguments& in) {
    return {reference::linear(in.tensor("x"), in.tensor("weight"), optional(in, "bias"))};
}

std::vector<Type> infer_einsum(const Arguments& in) {
    const auto types = in.types("values");
    const Equation e = equation_of(in);
    if (types[0].dtype != types[1].dtype || !is_floating(types[0].dtype)) {
        in.fail("values are {} and {}, they must be of one floating-point type", types[0].text(),
                types[1].text());
    }
    std::vector<std::int64_t> sizes;
    for (const char label : e.result) {
        const auto at = e.x.find(label);
        sizes.push_back(at != std::string::npos
                            ? types[0].shape[static_cast<int>(at)]
                            : types[1].shape[static_cast<int>(e.y.find(label))]);
    }
    return {Type::tensor(types[0].dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_einsum(const Arguments& in) {
    const auto values = in.tensors("values");
    const Equation e = equation_of(in);
    return {reference::einsum(*values[0], *values[1], e.x, e.y, e.result,
                              infer_einsum(in).front().shape)};
}

std::vector<Type> infer_attention(const Arguments& in) {
    const Type &q = in.type("query"), &k = in.type("key"), &v = in.type("value");
    const auto refuse = [&](std::string_view rule) {
        in.fail("query {}, key {} and value {}: {}", q.shape.text(), k.shape.text(), v.shape.text(),
                rule);
    };
    if (q.shape.rank() < 3 || k.shape.rank() != q.shape.rank() ||
        v.shape.rank() != q.shape.rank()) {
        refuse("all must have one rank, 3 or more");
    }
    if (q.shape[-1] != k.shape[-1]) {
        refuse("query and key differ in the last size");
    }
    if (k.shape[-2] != v.shape[-2]) {
        refuse("key and value differ in the number of positions");
    }
    Shape keys, batch;
    if (!broadcast(leading(q.shape), leading(k.shape), keys) ||
        !broadcast(keys, leading(v.shape), batch)) {
        refuse("the leading axes do not broadcast");
    }
    auto sizes = batch.sizes();
    sizes.push_back(q.shape[-2]);
    if (in.has("attn_mask")) {
        auto scores = sizes;
        scores.push_back(k.shape[-2]);
        const Shape& mask = in.type("attn_mask").shape;
        Shape joined;
        if (!broadcast(mask, Shape(scores), joined) || joined != Shape(scores)) {
            in.fail("attn_mask {} does not broadcast to {}", mask.text(), Shape(scores).text());
        }
    }
    sizes.push_back(v.shape[-1]);
    return {Type::tensor(q.dtype, Shape(sizes))};
}

std::vector<reference::Tensor> evaluate_attention(const Arguments& in) {
    const auto &query = in.tensor("query"), &key = in.tensor("key"), &value = in.tensor("value");
    if (in.has("attn_mask") && in.type("attn_mask").dtype == DType::boolean) {
        // True takes part. The lowest finite number instead of -infinity keeps a row without any
        // true from being NaN.
        const reference::Tensor mask = reference::unary(in.tensor("attn_mask"), [](double m) {
            return m != 0.0 ? 0.0 : std::numeric_limits<double>::lowest() / 2;
        });
        return {reference::scaled_dot_product_attention(query, key, value, &mask)};
    }
    return {reference::scaled_dot_product_attention(query, key, value, optional(in, "attn_mask"))};
}

}  // namespace

std::vector<Schema> products() {
    const Literal no = Literal::boolean(false);
    return {
        {"matmul",
         "result[.., m, n] = sum_k x[.., m, k] * y[.., k, n]; leading axes broadcast",
         {tensor("x", numbers), tensor("y", numbers), constant("transpose_x", no),
          constant("transpose_y", no)},
         infer_matmul,
         evaluate_matmul},
        {"linear",
         "result[.., n] = bias[n] + sum_k x[.., k] * weight[n, k]",
         {tensor("x", floats), tensor("weight", floats), optional_tensor("bias", floats)},
         infer_linear,
         evaluate_linear},
        {"einsum",
         "products of two values summed over the labels that the result leaves out, as a batch of "
         "matrix products",
         {tensors("values"), constant("equation")},
         infer_einsum,
         evaluate_einsum},
        {"scaled_dot_product_attention",
         "softmax(query key^T / sqrt(E) + attn_mask) value; a bool mask keeps where it is true",
         {tensor("query", floats), tensor("key", floats), tensor("value", floats),
          optional_tensor("attn_mask", {DType::fp16, DType::fp32, DType::boolean})},
         infer_attention,
         evaluate_attention},
    };
}

}  // namespace pome::mil::ops
