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

TEST(Text, RealProgramsReadVerifyAndRoundTrip) {
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

TEST(Text, BuiltProgramsRoundTripInBothDialects) {
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

TEST(Text, BadTextIsRefusedInTheseWords) {
    const std::vector<Bad> cases{
        {"", "p:1:1: expected 'program', found the end of the text"},
        {"program(1.3", "p:1:12: expected ')', found the end of the text"},
        {"program(1.3) {\n  fun", "p:2:3: expected 'func' or '}', found 'fun'"},
        {body("    tensor<fp16, [1, 4, 1, 2]> y = add(x = x, y = x)"),
         "p:6:3: expected ';', found '}'"},
        {body("    tensor<fp17, [1]> y = add(x = x, y = x);"),
         "p:5:12: expected a type such as fp16, int32 or tensor<...>, found 'fp17'"},
        {body("    tensor<fp16, [1, a]> y = add(x = x, y = x);"),
         "p:5:22: expected a size or '?', found 'a'"},
        {body("    int8 y = const()[val = int8(300)];"),
         "p:5:33: expected a number of int8, found '300': 300 does not fit int8"},
        {body("    int32 y = const()[val = int32(1.5)];"),
         "p:5:35: expected an integer from -9223372036854775808 to 9223372036854775807, found "
         "'1.5'"},
        {body("    tensor<int32, [3]> y = const()[val = tensor<int32, [3]>([1, 2])];"),
         "p:5:61: expected 3 elements for int32 [3], found 2"},
        {body("    string y = const()[val = string(\"open)];"),
         "p:5:45: expected '\"' that ends the string, found the end of the line"},
        {body("    fp16 y = const()[val = fp16(0xzz)];"),
         "p:5:33: expected a number, found '0xzz'"},
        {body("    fp16 y = const()[val = fp16(true)];"),
         "p:5:33: expected a number of fp16, found 'true'"},
        {body("    tensor<fp16, [1]> y = add(x = x y = x);"), "p:5:37: expected ')', found 'y'"},
        {body("    tensor<fp16, [1]> y add(x = x);"), "p:5:25: expected '=', found 'add'"},
        {body("    tensor<fp16, [1]> = add(x = x);"), "p:5:23: expected a name, found '='"},
        {body("    tensor<fp16, [1]> y = add(x = );"),
         "p:5:35: expected a value's name or a literal, found ')'"},
        {body("    tensor<fp16, [1]> y = add(x = #);"),
         "p:5:35: expected a name, number, string or symbol of the language, found byte 0x23"},
        {head + "  func main<ios18>() { } (y);\n}", "p:4:26: expected '->', found '('"},
        {head + "  func main<ios18>() { } -> (1);\n}",
         "p:4:30: expected the name of an output, found '1'"},
        {head + "}\nmore", "p:5:1: expected the end of the text, found 'more'"},
        {body("    tensor<fp16, [2]> y = const()[val = tensor<fp16, [2]>(BLOBFILE(path = "
              "string(\"@model_path/w\"), offset = int32(64)))];"),
         "p:5:109: expected path = string(\"...\") or offset = uint64(...), found 'offset' with "
         "int32"},
    };
    for (const Bad& bad : cases) {
        EXPECT_EQ(error_text([&] { read(bad.text, "p"); }), "[mil.text] " + bad.message)
            << bad.text;
    }
}

TEST(Text, DeepNestingIsRefusedNotFollowed) {
    const std::string deep = body("    tensor<fp16, [1]> y = const()[val = tensor<fp16, [1]>(" +
                                  std::string(100000, '[') + "1");
    EXPECT_NE(error_text([&] { read(deep, "p"); }).find("expected at most 64 levels of nesting"),
              std::string::npos);
}

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

TEST(Weights, StayInsideTheirDirectory) {
    WeightFiles weights;
    EXPECT_EQ(error_text([&] { weights.add("@model_path/../secret", {}); }),
              "[mil.weights] weight path '@model_path/../secret' must begin with '@model_path/' "
              "and stay below it");
    EXPECT_EQ(
        error_text([&] { weights.add("/etc/passwd", {}); }),
        "[mil.weights] weight path '/etc/passwd' must begin with '@model_path/' and stay below it");
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
