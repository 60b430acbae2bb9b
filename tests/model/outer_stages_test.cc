#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "device/emulator/emulator.h"
#include "mil/autodiff/autodiff.h"
#include "mil/interpreter.h"
#include "mil/passes/bake_weights.h"
#include "mil/verifier.h"
#include "model/stage.h"

namespace pome::model {
namespace {

constexpr std::int64_t width = 48, sequence = 32;

ModelConfig config() {
    ModelConfig made;
    made.width = width, made.vocabulary = 80;
    return made;
}

Form form(DType dtype) {
    Form made;
    made.dtype = dtype, made.sequence = sequence;
    return made;
}

/// The gradient through a norm, of x and d_y alone.
mil::Function norm_backward(const Stage& stage) {
    mil::autodiff::Options wanted;
    wanted.with_respect_to = {"x"};
    wanted.recompute = mil::autodiff::Recompute::everything;
    wanted.stop_gradients = stage.stop_gradients;
    const auto parts = mil::autodiff::differentiate(stage.function, wanted);
    EXPECT_TRUE(parts.saved.empty());
    return parts.backward;
}

reference::Tensor random_tensor(const Shape& shape, Random& random, double deviation) {
    reference::Tensor tensor(shape);
    for (double& value : tensor.data) {
        value = deviation * random.normal();
    }
    return tensor;
}

/// y and dx of RMSNorm by its formula, in double.
struct Exact {
    std::vector<double> y, dx;
};
Exact exact(const std::vector<double>& x, const std::vector<double>& gain,
            const std::vector<double>& dy) {
    Exact result{std::vector<double>(x.size()), std::vector<double>(x.size())};
    for (std::size_t s = 0; s < sequence; ++s) {
        double squares = 0.0, dot = 0.0;
        for (std::size_t c = 0; c < width; ++c) {
            const std::size_t at = c * sequence + s;
            squares += x[at] * x[at];
            dot += gain[c] * dy[at] * x[at];
        }
        const double root = 1.0 / std::sqrt(squares / width + 1e-5);
        for (std::size_t c = 0; c < width; ++c) {
            const std::size_t at = c * sequence + s;
            result.y[at] = gain[c] * x[at] * root;
            result.dx[at] = root * (gain[c] * dy[at] - x[at] * root * root / width * dot);
        }
    }
    return result;
}

double relative_error(const std::vector<double>& found, const std::vector<double>& expected) {
    double difference = 0.0, size = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        difference += std::pow(found[i] - expected[i], 2);
        size += expected[i] * expected[i];
    }
    return std::sqrt(difference / size);
}

/// The scale that the stage divides by is taken for a constant; that loses nothing.
TEST(NormStage, ItsDerivedGradientIsTheFormulas) {
    const Stage stage = norm_stage(config(), form(DType::fp32));
    const mil::Package forward{mil::make_program(stage.function), {}},
        backward{mil::make_program(norm_backward(stage)), {}};
    ASSERT_NO_THROW(mil::verify(backward.program));
    Random random(1);
    for (const double deviation : {1e-4, 0.01, 1.0, 300.0}) {
        mil::Tensors in{{"x", random_tensor({1, width, 1, sequence}, random, deviation)},
                        {"gain", random_tensor({1, width, 1, 1}, random, 1.0)}};
        const auto y = mil::interpret(forward, in).at("y");
        in["d_y"] = random_tensor({1, width, 1, sequence}, random, 1.0);
        const auto dx = mil::interpret(backward, in).at("d_x");
        const Exact expected = exact(in["x"].data, in["gain"].data, in["d_y"].data);
        // Constants are fp32 in the program's text; everything else is double.
        EXPECT_LT(relative_error(y.data, expected.y), 1e-7) << deviation;
        EXPECT_LT(relative_error(dx.data, expected.dx), 1e-6) << deviation;
    }
}

/// Of the streams that training meets, and of those at which an unscaled fp16 sum of squares
/// vanishes or overflows.
TEST(NormStage, KeepsItsPrecisionOnTheEngineAtEveryScale) {
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const Stage stage = norm_stage(config(), form(DType::fp16));
    Random random(2);
    const auto gain = random_tensor({1, width, 1, 1}, random, 1.0);
    std::vector<double> gains;
    for (const double value : gain.data) {
        gains.push_back(static_cast<double>(
            to_float(to_fp16(static_cast<float>(value), Rounding::nearest_even))));
    }
    const auto compile = [&](const mil::Function& function) {
        const auto baked = mil::passes::bake_weights(function, {"gain"});
        mil::Package package{device::program_for(baked.function, device->profile()), {}};
        package.weights.store(baked.weights.front().path, DType::fp16, gain.shape, gains);
        return device->compile(package);
    };
    const auto forward = compile(stage.function), backward = compile(norm_backward(stage));
    const auto fill = [&](device::Surface& surface, double deviation) {
        std::vector<double> values;
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            surface.halves()[i] =
                to_fp16(static_cast<float>(deviation * random.normal()), Rounding::nearest_even);
            values.push_back(static_cast<double>(to_float(surface.halves()[i])));
        }
        return values;
    };
    const auto values = [](const device::Surface& surface) {
        std::vector<double> result;
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            result.push_back(static_cast<double>(to_float(surface.halves()[i])));
        }
        return result;
    };
    const auto type = mil::Type::tensor(DType::fp16, {1, width, 1, sequence});
    device::Surface x(type), dy(type), y(type), dx(type);
    for (const double deviation : {0.001, 0.02, 1.0, 12.0, 1000.0, 9000.0}) {
        const auto xs = fill(x, deviation), dys = fill(dy, 0.5);
        forward->evaluate({{{"x", &x}}, {{"y", &y}}});
        backward->evaluate({{{"d_y", &dy}, {"x", &x}}, {{"d_x", &dx}}});
        const Exact expected = exact(xs, gains, dys);
        // Some roundings of 2^-12 on average and the engine's table for the root (2 ulp, 1e-3).
        EXPECT_LT(relative_error(values(y), expected.y), 2e-3) << deviation;
        // dx is a difference of such values, and at 9000 a subnormal number of few bits.
        EXPECT_LT(relative_error(values(dx), expected.dx), deviation < 5000.0 ? 4e-3 : 2e-2)
            << deviation;
    }
}

TEST(SoftmaxStage, SumsOverTheChannels) {
    const Stage stage = softmax_stage(config(), form(DType::fp32));
    Random random(3);
    const auto y = mil::interpret({mil::make_program(stage.function), {}},
                                  {{"x", random_tensor({1, 80, 1, sequence}, random, 2.0)}})
                       .at("y");
    for (std::size_t s = 0; s < sequence; ++s) {
        double sum = 0.0;
        for (std::size_t v = 0; v < 80; ++v) {
            sum += y.data[v * sequence + s];
        }
        EXPECT_NEAR(sum, 1.0, 1e-12);
    }
}

}  // namespace
}  // namespace pome::model
