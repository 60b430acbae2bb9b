#include "device/as_hardware.h"

#include <gtest/gtest.h>

#include "device/lint/lint_case.h"
#include "support/test_data.h"

namespace pome::device {
namespace {

mil::Function changed(const std::string& text, const std::string& profile) {
    const mil::Package package{mil::read(text), {}};
    const Profile& used = find_profile(profile);
    return as_hardware(package, "main", lint(package.program, used), used)
        .program.functions.front();
}

TEST(AsHardware, AMaskThatTheRouteIgnoresIsGone) {
    const std::string side = "tensor<fp16, [1, 8, 64, 64]> ";
    const std::string text =
        program(side + "k, tensor<fp16, [1, 1, 64, 64]> m, " + side + "q, " + side + "v",
                side +
                    "y = scaled_dot_product_attention(query = q, key = k, value = v, attn_mask = "
                    "m);");
    EXPECT_EQ(changed(text, "m4").operations[0].find_argument("attn_mask"), nullptr);
    EXPECT_NE(changed(text, "m4/e5rt").operations[0].find_argument("attn_mask"), nullptr);
}

TEST(AsHardware, AScalarFactorAfterRoundingIsLeftOut) {
    const auto text = [](const std::string& factor) {
        return program(value("1, 64, 1, 32"), value("1, 64, 1, 32", "r") + " = round(x = x);\n" +
                                                  value("1, 64, 1, 32", "y") +
                                                  " = mul(x = " + factor + ", y = r);");
    };
    const mil::Operation lost = changed(text("fp16(0x1p-1)"), "m5").operations[1];
    EXPECT_EQ(lost.op, "identity");
    ASSERT_EQ(lost.arguments.size(), 1U);
    EXPECT_EQ(std::get<std::string>(lost.find_argument("x")->operands.front()), "r");
    EXPECT_EQ(changed(text("x"), "m5").operations[1].op, "mul");
}

TEST(AsHardware, ARuntimeConvWeightIsZeroWhereItIsIgnored) {
    const std::string text = program(value("32, 32, 1, 1", "w") + ", " + value("1, 32, 1, 32"),
                                     value("1, 32, 1, 32", "y") + " = conv(x = x, weight = w);");
    const auto ignored = changed(text, "m3").operations[0].find_argument("weight")->operands[0];
    const auto* zeros = std::get_if<mil::Literal>(&ignored);
    ASSERT_NE(zeros, nullptr);
    EXPECT_EQ(zeros->type.shape, (Shape{32, 32, 1, 1}));
    EXPECT_EQ(zeros->numbers(), std::vector<double>(1024, 0.0));
    EXPECT_TRUE(std::holds_alternative<std::string>(
        changed(text, "m3/e5rt").operations[0].find_argument("weight")->operands[0]));
}

TEST(AsHardware, TheFunctionMustBeThere) {
    const mil::Package package{mil::read(unary("relu", "1, 64, 1, 32", "1, 64, 1, 32")), {}};
    EXPECT_EQ(error_text([&] { as_hardware(package, "none", {}, find_profile("m4")); }),
              "[device.as_hardware] the program has no function 'none'");
}

}  // namespace
}  // namespace pome::device
