#include "kernels/unary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/targets.h"
#include "reference/chip/activations.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/tables.h"

namespace pome::kernels {
namespace {

namespace chip = reference::chip;

/// Every fp16 value, then the first `more` of them again.
std::vector<fp16> every_value(std::size_t more) {
    std::vector<fp16> x(65536 + more);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i].bits = static_cast<std::uint16_t>(i);
    }
    return x;
}

/// Whether the processor and the build have vectors that compute lines.
bool computes_lines() {
    const auto targets = hwy::SupportedAndGeneratedTargets();
    return std::any_of(targets.begin(), targets.end(),
                       [](std::int64_t target) { return (target & HWY_AVX3) != 0; });
}

TEST(UnaryTable, EqualsItsFunctionOnEveryValueOnEveryTarget) {
    for (const auto rounding : {Rounding::nearest_away, Rounding::nearest_even}) {
        for (const bool coerces : {true, false}) {
            Numerics numerics;
            numerics.elementwise = {rounding, coerces};
            for (int f = 0; f <= static_cast<int>(chip::Function::exp_minus_one); ++f) {
                const auto function = static_cast<chip::Function>(f);
                const UnaryTable table(
                    [&](fp16 x) { return chip::evaluate(function, x, numerics); });
                const std::vector<fp16> x = every_value(77);
                std::vector<fp16> expected;
                for (const fp16 value : x) {
                    expected.push_back(chip::evaluate(function, value, numerics));
                }
                for_every_target([&] {
                    std::vector<fp16> y(x.size());
                    table.apply(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
                    ASSERT_EQ(y, expected) << "function " << f;
                    std::vector<fp16> z = x;  // in place, at another place in its vectors
                    table.apply(z.data() + 3, z.data() + 3,
                                static_cast<std::int64_t>(z.size()) - 3);
                    ASSERT_TRUE(std::equal(z.begin() + 3, z.end(), expected.begin() + 3))
                        << "function " << f;
                });
            }
        }
    }
}

TEST(UnaryTable, FindsTheLinesOfTheEnginesTables) {
    if (!computes_lines()) {
        GTEST_SKIP() << "lines are computed with AVX-512 only; tables are looked up here";
    }
    const Numerics numerics;
    for (const auto function : {chip::Function::sigmoid, chip::Function::tanh, chip::Function::gelu,
                                chip::Function::silu, chip::Function::atan}) {
        const UnaryTable table([&](fp16 x) { return chip::evaluate(function, x, numerics); });
        EXPECT_TRUE(table.segments()) << static_cast<int>(function);
    }
    EXPECT_TRUE(UnaryTable([&](fp16 x) { return chip::relu6(x, numerics); }).segments());
    EXPECT_TRUE(UnaryTable([&](fp16 x) { return chip::abs(x, numerics.elementwise); }).segments());
    for (const auto function : {chip::Function::exp, chip::Function::exp2}) {
        const UnaryTable table([&](fp16 x) { return chip::evaluate(function, x, numerics); });
        EXPECT_TRUE(table.exponential()) << static_cast<int>(function);
    }
}

TEST(UnaryTable, TakesNoFormThatMissesOneResult) {
    const Numerics numerics;
    for (const std::uint32_t odd_one : {0x3555U, 0xB555U, 0x0001U, 0x7BFFU}) {
        const UnaryTable table([&](fp16 x) {
            const fp16 y = chip::evaluate(chip::Function::sigmoid, x, numerics);
            return x.bits == odd_one ? fp16{static_cast<std::uint16_t>(y.bits + 1)} : y;
        });
        EXPECT_FALSE(table.segments()) << odd_one;
        EXPECT_FALSE(table.exponential()) << odd_one;
    }
}

}  // namespace
}  // namespace pome::kernels
