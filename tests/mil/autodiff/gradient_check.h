#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

#include "base/random.h"
#include "mil/autodiff/autodiff.h"
#include "mil/interpreter.h"
#include "mil/verifier.h"

namespace pome::mil::autodiff {

using Build = std::function<void(Builder&, const std::vector<Value>&)>;

inline reference::Tensor random_tensor(const Shape& shape, Random& random, double low,
                                       double high) {
    reference::Tensor tensor(shape);
    for (double& value : tensor.data) {
        value = random.uniform(low, high);
    }
    return tensor;
}

/// Gradients of sum(weights * y) by the backward function against central differences of the double
/// interpreter.
inline void check(const std::vector<Shape>& shapes, const Build& build, double low = -1.0,
                  double high = 1.0, const std::set<std::string, std::less<>>& host = {}) {
    static std::uint64_t seed = 100;
    Random random(++seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    Builder b;
    std::vector<Value> inputs;
    Tensors values;
    Options options;
    options.host_gradients = host;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        const std::string name = "p" + std::to_string(i);
        inputs.push_back(b.input(name, Type::tensor(DType::fp32, shapes[i])));
        values[name] = random_tensor(shapes[i], random, low, high);
        options.with_respect_to.push_back(name);
    }
    build(b, inputs);
    const Function function = b.take();
    const Differentiated parts = differentiate(function, options);
    const Package original{make_program(function), {}}, forward{make_program(parts.forward), {}},
        backward{make_program(parts.backward), {}};
    ASSERT_NO_THROW(verify(forward.program));
    ASSERT_NO_THROW(verify(backward.program));

    const Tensors forward_values = interpret(forward, values);
    Tensors available = forward_values, seeds;
    available.insert(values.begin(), values.end());
    for (const auto& output : function.outputs) {
        seeds[output] = random_tensor(forward_values.at(output).shape, random, -1.0, 1.0);
        available["d_" + output] = seeds[output];
    }
    Tensors backward_inputs;
    for (const auto& parameter : parts.backward.parameters) {
        backward_inputs[parameter.name] = available.at(parameter.name);
    }
    const Tensors results = interpret(backward, backward_inputs);
    Tensors gradients;
    for (const auto& [name, tensor] : results) {
        if (name.starts_with("d_p")) {
            gradients[name.substr(2)] = tensor;
        }
    }
    for (const auto& product : parts.host_gradients) {  // left right^T, as the host would
        const auto find = [&](const std::string& name) -> const reference::Tensor& {
            return results.contains(name) ? results.at(name) : available.at(name);
        };
        const auto& left = find(product.left);
        const auto& right = find(product.right);
        const std::int64_t s = right.shape[-1], m = left.size() / s, n = right.size() / s;
        reference::Tensor sum(values.at(product.parameter).shape);
        for (std::int64_t i = 0; i < m; ++i) {
            for (std::int64_t j = 0; j < n; ++j) {
                double total = 0.0;
                for (std::int64_t k = 0; k < s; ++k) {
                    total += left.data[static_cast<std::size_t>(i * s + k)] *
                             right.data[static_cast<std::size_t>(j * s + k)];
                }
                sum.data[static_cast<std::size_t>(product.transposed ? j * m + i : i * n + j)] =
                    total;
            }
        }
        gradients[product.parameter] = sum;
    }

    const Interpreter run(original);
    const auto objective = [&](const Tensors& at) {
        double sum = 0.0;
        for (const auto& [name, y] : run.run(at)) {
            for (std::size_t i = 0; i < y.data.size(); ++i) {
                sum += y.data[i] * seeds.at(name).data[i];
            }
        }
        return sum;
    };
    for (const auto& [name, tensor] : values) {
        ASSERT_TRUE(gradients.contains(name)) << name;
        double difference = 0.0, size = 0.0;
        const std::size_t stride = std::max<std::size_t>(1, tensor.data.size() / 60);
        for (std::size_t i = 0; i < tensor.data.size(); i += stride) {
            constexpr double step = 1e-5;
            Tensors moved = values;
            moved[name].data[i] += step;
            const double up = objective(moved);
            moved[name].data[i] -= 2 * step;
            const double numeric = (up - objective(moved)) / (2 * step);
            difference += std::pow(gradients.at(name).data[i] - numeric, 2);
            size += numeric * numeric;
        }
        EXPECT_LT(std::sqrt(difference), 1e-6 * std::sqrt(size) + 1e-9) << name;
    }
}

}  // namespace pome::mil::autodiff
