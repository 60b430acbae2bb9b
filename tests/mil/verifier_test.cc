#include "mil/text.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "mil/builder.h"
#include "mil/interpreter.h"
#include "mil/verifier.h"
#include "support/test_data.h"

namespace pome::mil {
namespace {

const std::string head =
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n";

std::string body(const std::string& statements) {
    return head + "  func main<ios18>(tensor<fp16, [1, 4, 1, 2]> x) {\n" + statements +
           "\n  } -> (y);\n}\n";
}

TEST(Verifier, RealProgramsReadVerifyAndRoundTrip) {
    POME_REQUIRE_TEST_DATA(folder, "mil");
    int programs = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.path().extension() != ".mil") {
            continue;
        }
        SCOPED_TRACE(entry.path().filename().string());
        const Program program = read(read_text(entry.path()), entry.path().filename().string());
        EXPECT_EQ(read(write(program)), program);
        for (const auto dialect : {Dialect::terse, Dialect::canonical}) {
            const Program translated = read(write(program, dialect));
            EXPECT_EQ(translated.functions, program.functions);
        }
        EXPECT_NO_THROW({
            const auto verified = verify(program);
            EXPECT_GT(verified.operations, 0);
        });
        ++programs;
    }
    EXPECT_GE(programs, 20);
}

TEST(Verifier, BuiltProgramsRoundTripInBothDialects) {
    Builder b;
    const Value x = b.input("x", Type::tensor(DType::fp16, {1, 8, 1, 4}));
    const Value half = b.scale(x, 0.1);
    b.output(b.rename(b.softmax(b.concat({half, b.unary("sigmoid", x)}, 1), 1), "y"));
    for (const auto dialect : {Dialect::terse, Dialect::canonical}) {
        const Program program = make_program(b.function(), dialect);
        EXPECT_EQ(read(write(program)), program) << write(program);
        EXPECT_NO_THROW(verify(program));
    }
}

struct Bad {
    std::string text, message;
};

TEST(Verifier, NamesTheOperationAndTheRule) {
    const std::vector<Bad> cases{
        {"    tensor<fp16, [1, 4, 1, 2]> y = add(x = x, y = z);",
         "[mil.add] 'z' is not defined before it is used (line 5, %y)"},
        {"    tensor<fp16, [1, 4, 1, 3]> y = add(x = x, y = x);",
         "[mil.add] result 'y' is declared fp16 [1,4,1,3], it is fp16 [1,4,1,2] (line 5, %y)"},
        {"    tensor<fp16, [1, 4, 1, 2]> x = add(x = x, y = x);\n tensor<fp16, [1]> y = relu(x = "
         "x);",
         "[mil.verify] 'x' is defined twice (line 5)"},
        {"    tensor<fp16, [1, 4, 1, 2]> y = matmul(x = x, y = x);",
         "[mil.matmul] x [1,4,1,2] and y [1,4,1,2]: inner sizes 2 and 1 differ (line 5, %y)"},
        {"    tensor<fp16, [1, 4, 1, 2]> y = softmax(x = x, axis = int32(4));",
         "[mil.softmax] axis 4 of x [1,4,1,2] is not in [-4, 4) (line 5, %y)"},
        {"    tensor<fp16, [1, 4, 1, 2]> y = softmax(x = x, asix = int32(1));",
         "[mil.softmax] has no parameter 'asix' (line 5, %y)"},
        {"    tensor<fp16, [4, 2]> y = reshape(x = x);",
         "[mil.reshape] 'shape' is missing (line 5, %y)"},
        {"    tensor<fp16, [4, 3]> y = reshape(x = x, shape = tensor<int32, [2]>([4, 3]));",
         "[mil.reshape] x [1,4,1,2] has 8 elements, shape [4,3] does not (line 5, %y)"},
        {"    tensor<fp16, [1, 4, 1, 2]> z = relu(x = x);",
         "[mil.verify] function 'main' returns 'y', which is not defined"},
    };
    for (const Bad& bad : cases) {
        EXPECT_EQ(error_text([&] { verify(read(body(bad.text), "p")); }), bad.message) << bad.text;
    }
}

TEST(Verifier, UnknownOpsAreListedNotFatal) {
    const auto verified =
        verify(read(body("    tensor<fp16, [1, 4, 1, 2]> y = mystery(x = x);"), "p"));
    EXPECT_EQ(verified.unknown_ops, std::vector<std::string>{"mystery"});
}

TEST(Interpreter, ComputesWhatTheOpsMean) {
    const auto program = read(
        body("    tensor<fp16, [1, 1, 4, 2]> m = reshape(x = x, shape = tensor<int32, [4]>([1, 1, "
             "4, 2]));\n"
             "    tensor<fp16, [1, 1, 4, 4]> y = matmul(x = m, y = m, transpose_y = bool(true));"),
        "p");
    const reference::Tensor x(Shape{1, 4, 1, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
    const auto y = interpret({program, {}}, {{"x", x}}).at("y");
    EXPECT_EQ(y.shape, (Shape{1, 1, 4, 4}));
    EXPECT_EQ(y.data, (std::vector<double>{5, 11, 17, 23, 11, 25, 39, 53, 17, 39, 61, 83, 23, 53,
                                           83, 113}));
}

}  // namespace
}  // namespace pome::mil
