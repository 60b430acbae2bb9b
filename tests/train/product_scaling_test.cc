#include "train/product_scaling.h"

#include <gtest/gtest.h>

#include <cmath>

#include "device/emulator/emulator.h"
#include "mil/builder.h"
#include "mil/passes/declare_in_order.h"
#include "support/test_data.h"
#include "train/pipeline.h"

namespace pome::train {
namespace {

TEST(ProductScaling, LeavesProductsOfOrdinarySizeAlone) {
    EXPECT_EQ(product_exponent({1.0, 4.0}, {0.02, 0.1}, 64), 0);
    EXPECT_EQ(product_exponent({0.1, 0.4}, {0.04, 0.1}, 768), 0) << "4e-3 is enough";
    EXPECT_EQ(product_exponent({0.0, 0.0}, {1.0, 4.0}, 64), 0) << "nothing to scale";
}

TEST(ProductScaling, LiftsSmallProductsToTwoToTheMinusSix) {
    EXPECT_EQ(product_exponent({0x1p-5, 0x1p-3}, {0x1p-6, 0x1p-4}, 64), 5);
    EXPECT_EQ(product_exponent({0x1p-20, 0x1p-18}, {0x1p-20, 0x1p-18}, 64), 14)
        << "the inverse must stay a normal fp16 number";
}

TEST(ProductScaling, AnOutlierHoldsTheScaleDown) {
    // 63 / (256 * 0.05) is between 4 and 8.
    EXPECT_EQ(product_exponent({0x1p-5, 256.0}, {0x1p-6, 0.05}, 64), 2);
    EXPECT_EQ(product_exponent({0x1p-5, 1e6}, {0x1p-6, 1e-6}, 64), 0) << "2^14 is the last operand";
}

TEST(ProductScaling, LowersProductsWhoseSumsWouldBecomeInfinite) {
    // 2^15 / 32 / sqrt(1024) = 32.
    EXPECT_EQ(product_exponent({16.0, 40.0}, {16.0, 40.0}, 1024), -3);
}

/// y = w x with products near 2^-16, where the engine keeps next to nothing of them.
TEST(ProductScaling, BringsBackWhatTheEngineLoses) {
    constexpr std::int64_t n = 64;
    mil::Builder b;
    const auto w = b.input("w", mil::Type::tensor(DType::fp16, {1, 1, n, n}));
    const auto x = b.input("x", mil::Type::tensor(DType::fp16, {1, 1, n, n}));
    b.output(b.rename(b.matmul(w, x), "y"));
    const mil::Function function = b.take();

    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const auto executable = device->compile(
        {mil::make_program(mil::passes::declare_in_order(mil::passes::scale_products(function))),
         {}});
    ProductScaling scaling(*device, function, {});
    ASSERT_EQ(scaling.products(), 1U);

    const auto type = mil::Type::tensor(DType::fp16, {1, 1, n, n});
    device::Surface ws(type), xs(type), ys(type),
        scales(mil::Type::tensor(DType::fp16, {1, 2, 1, mil::passes::product_scales_row}));
    Random random(3);
    for (std::int64_t i = 0; i < n * n; ++i) {
        ws.halves()[i] = to_fp16(random.normal() * 0x1p-8, Rounding::nearest_even);
        xs.halves()[i] = to_fp16(random.normal() * 0x1p-8, Rounding::nearest_even);
    }
    const device::Bindings bindings{
        {{"w", &ws}, {"x", &xs}, {std::string(mil::passes::product_scales_input), &scales}},
        {{"y", &ys}}};
    const auto relative_error = [&] {
        double error = 0.0, size = 0.0;
        for (std::int64_t row = 0; row < n; ++row) {
            for (std::int64_t column = 0; column < n; ++column) {
                double sum = 0.0;
                for (std::int64_t k = 0; k < n; ++k) {
                    sum += static_cast<double>(to_float(ws.halves()[row * n + k])) *
                           static_cast<double>(to_float(xs.halves()[k * n + column]));
                }
                const double got = static_cast<double>(to_float(ys.halves()[row * n + column]));
                error += (got - sum) * (got - sum);
                size += sum * sum;
            }
        }
        return std::sqrt(error / size);
    };
    ProductScaling::store({0}, scales);
    executable->evaluate(bindings);
    EXPECT_GT(relative_error(), 0.1);
    const auto exponents = scaling.measure(bindings);
    EXPECT_EQ(exponents, std::vector<int>{10});
    ProductScaling::store(exponents, scales);
    executable->evaluate(bindings);
    EXPECT_LT(relative_error(), 1e-3);
}

TEST(ProductScaling, APipelineWithoutScalesRefusesThoseOfACheckpoint) {
    struct Plain final : Pipeline {
        void stage_weights(const ParameterSet&) override {}
        void forward(std::size_t, const float*, float*) override {}
        void backward(std::size_t, const float*, float*, ParameterSet&) override {}
        bool take_overflow() override { return false; }
    } plain;
    plain.restore_product_exponents({});
    EXPECT_EQ(error_text([&] {
                  plain.restore_product_exponents({1, 2});
              }),
              "[train.pipeline] the checkpoint has scales for 2 products, this pipeline scales "
              "none; set engine.product_scale as the run had it");
}

}  // namespace
}  // namespace pome::train
