#include "device/text_program.h"

#include <gtest/gtest.h>

#include "device/emulator/emulator.h"
#include "mil/text.h"
#include "support/expect_error.h"

namespace pome::device {
namespace {

const TextInput x{"x", {1, 1, 1, 4}, DType::fp16, {1, 2, 3, 4}, 0};

TEST(TextProgram, LiteralsBecomeNamedConstants) {
    const auto package = text_program(
        {x}, "tensor<fp16, [1, 1, 1, 4]> y = add(x = x, y = fp16(2));", mil::Dialect::terse);
    EXPECT_EQ(package.program.version, "1.3");
    const mil::Function& function = package.program.functions.front();
    EXPECT_EQ(function.opset, "ios18");
    ASSERT_EQ(function.operations.size(), 2U);
    EXPECT_EQ(function.operations[0].op, "const");
    EXPECT_EQ(function.operations[0].results[0].name, "y_y");
    EXPECT_EQ(std::get<std::string>(function.operations[1].arguments[1].operands[0]), "y_y");
}

TEST(TextProgram, ConstantsAreWeightFiles) {
    const auto package =
        text_program({x}, "tensor<fp16, [1, 1, 1, 4]> y = mul(x = x, y = w);",
                     mil::Dialect::canonical, {{"w", {1, 1, 1, 4}, DType::fp16, {4, 3, 2, 1}}});
    EXPECT_EQ(package.program.version, "1.0");
    EXPECT_EQ(package.program.functions.front().opset, "ios16");
    ASSERT_EQ(package.weights.files().size(), 1U);
    EXPECT_EQ(package.weights.files().begin()->first, "@model_path/weights/w.bin");
    ThreadPool pool;
    const auto device = emulator::make_emulator("m1/e5rt", {}, pool);
    EXPECT_EQ(evaluate(*device->compile(package), {x}), (std::vector<double>{4, 6, 6, 4}));
}

TEST(TextProgram, RefusesWhatIsNoStatement) {
    test::expect_error(Code::malformed_program, "[mil.text] text:1:83: expected an op, found ';'",
                       [] { text_program({x}, "tensor<fp16, [1]> y = ;", mil::Dialect::terse); });
}

}  // namespace
}  // namespace pome::device
