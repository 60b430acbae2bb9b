#include "mil/passes/liveness.h"

#include <gtest/gtest.h>

#include "mil/text.h"
#include "mil/verifier.h"

namespace pome::mil::passes {
namespace {

std::int64_t live(const std::string& body, const std::string& output) {
    const Program program =
        read("program(1.3)\n{\n    func main<ios18>(tensor<fp16, [1, 1, 1, 100]> a) {\n" + body +
                 "    } -> (" + output + ");\n}\n",
             "test");
    verify(program);
    return live_bytes(program.functions.front());
}

std::string relu(const std::string& result, const std::string& x) {
    return "tensor<fp16, [1, 1, 1, 100]> " + result + " = relu(x = " + x + ")[name = string(\"" +
           result + "\")];\n";
}

TEST(Liveness, AValueLivesUntilItsLastReader) {
    // Input and output, and between them one value, or two while one is made from the other.
    EXPECT_EQ(live(relu("y", "a"), "y"), 2 * 200);
    EXPECT_EQ(live(relu("b", "a") + relu("y", "b"), "y"), 3 * 200);
    EXPECT_EQ(live(relu("b", "a") + relu("c", "b") + relu("y", "c"), "y"), 4 * 200);
    EXPECT_EQ(live(relu("b", "a") + relu("c", "b") + relu("d", "c") + relu("y", "d"), "y"),
              4 * 200);
    // b waits for its second reader.
    EXPECT_EQ(
        live(relu("b", "a") + relu("c", "b") + relu("d", "c") +
                 "tensor<fp16, [1, 1, 1, 100]> y = add(x = b, y = d)[name = string(\"y\")];\n",
             "y"),
        5 * 200);
}

TEST(Liveness, AnotherShapeOfTheSameElementsTakesNothing) {
    const std::string reshape =
        "tensor<int32, [4]> s = const()[name = string(\"s\"), val = tensor<int32, [4]>([1, 1, 10, "
        "10])];\n"
        "tensor<fp16, [1, 1, 10, 10]> r = reshape(shape = s, x = b)[name = string(\"r\")];\n"
        "tensor<fp16, [1, 1, 10, 10]> y = relu(x = r)[name = string(\"y\")];\n";
    EXPECT_EQ(live(relu("b", "a") + reshape, "y"), 3 * 200 + 16);  // and the shape
}

}  // namespace
}  // namespace pome::mil::passes
