#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

std::vector<Type> infer_layer_norm(const Arguments& in) {
    const Type& x = in.type("x");
    std::vector<std::int64_t> sizes;
    for (const int one : axes(in, "axes", x.shape)) {
        sizes.push_back(x.shape[one]);
    }
    expect_shape(in, "gamma", Shape(sizes));
    expect_shape(in, "beta", Shape(sizes));
    in.number("epsilon");
    return {x};
}

std::vector<reference::Tensor> evaluate_layer_norm(const Arguments& in) {
    const auto& x = in.tensor("x");
    return {reference::layer_norm(x, axes(in, "axes", x.shape), optional(in, "gamma"),
                                  optional(in, "beta"), number_like_x(in, "epsilon"))};
}

std::vector<Type> infer_channel_norm(const Arguments& in) {
    const Type& x = in.type("x");
    if (x.shape.rank() < 3) {
        in.fail("x {} must have rank 3 or more", x.shape.text());
    }
    expect_shape(in, "gamma", {x.shape[1]});
    expect_shape(in, "beta", {x.shape[1]});
    in.number("epsilon");
    return {x};
}

std::vector<Type> infer_batch_norm(const Arguments& in) {
    const auto types = infer_channel_norm(in);
    const Shape channels{types.front().shape[1]};
    expect_shape(in, "mean", channels);
    expect_shape(in, "variance", channels);
    return types;
}

std::vector<reference::Tensor> evaluate_batch_norm(const Arguments& in) {
    return {reference::batch_norm(in.tensor("x"), in.tensor("mean"), in.tensor("variance"),
                                  optional(in, "gamma"), optional(in, "beta"),
                                  number_like_x(in, "epsilon"))};
}

std::vector<reference::Tensor> evaluate_instance_norm(const Arguments& in) {
    return {reference::instance_norm(in.tensor("x"), optional(in, "gamma"), optional(in, "beta"),
                                     number_like_x(in, "epsilon"))};
}

std::vector<Type> infer_l2_norm(const Arguments& in) {
    const Type& x = in.type("x");
    if (x.shape.rank() < 3) {
        in.fail("x {} must have rank 3 or more", x.shape.text());
    }
    in.number("epsilon");
    return {x};
}

std::vector<reference::Tensor> evaluate_l2_norm(const Arguments& in) {
    return {reference::l2_norm(in.tensor("x"), number_like_x(in, "epsilon"))};
}

std::vector<Type> infer_local_response(const Arguments& in) {
    const Type& x = in.type("x");
    if (x.shape.rank() < 3) {
        in.fail("x {} must have rank 3 or more", x.shape.text());
    }
    if (in.integer("size") < 1) {
        in.fail("size must be at least 1, it is {}", in.integer("size"));
    }
    for (const char* name : {"alpha", "beta", "k"}) {
        in.number(name);
    }
    return {x};
}

std::vector<reference::Tensor> evaluate_local_response(const Arguments& in) {
    return {reference::local_response_norm(in.tensor("x"), in.integer("size"), in.number("alpha"),
                                           in.number("beta"), in.number("k"))};
}

}  // namespace

std::vector<Schema> normalization() {
    const Parameter x = tensor("x", floats), gamma = optional_tensor("gamma", floats),
                    beta = optional_tensor("beta", floats);
    const Parameter epsilon = constant("epsilon", Literal::number(DType::fp32, 1e-5));
    return {
        {"layer_norm",
         "(x - mean) / sqrt(variance + epsilon) * gamma + beta; mean and variance along axes",
         {x, optional_constant("axes"), gamma, beta, epsilon},
         infer_layer_norm,
         evaluate_layer_norm},
        {"instance_norm",
         "(x - mean) / sqrt(variance + epsilon) * gamma + beta; mean and variance of each channel",
         {x, gamma, beta, epsilon},
         infer_channel_norm,
         evaluate_instance_norm},
        {"batch_norm",
         "(x - mean) / sqrt(variance + epsilon) * gamma + beta, all given for each channel",
         {x, tensor("mean", floats), tensor("variance", floats), gamma, beta, epsilon},
         infer_batch_norm,
         evaluate_batch_norm},
        {"l2_norm",
         "x / sqrt(sum of x^2 over the last three axes + epsilon)",
         {x, constant("epsilon", Literal::number(DType::fp32, 1e-6))},
         infer_l2_norm,
         evaluate_l2_norm},
        {"local_response_norm",
         "x / (k + alpha / size * sum of x^2 over size neighbouring channels)^beta",
         {x, constant("size"), constant("alpha", Literal::number(DType::fp32, 1e-4)),
          constant("beta", Literal::number(DType::fp32, 0.75)),
          constant("k", Literal::number(DType::fp32, 1.0))},
         infer_local_response,
         evaluate_local_response},
    };
}

}  // namespace pome::mil::ops
