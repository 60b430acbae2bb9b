#include "mil/passes/declare_in_order.h"

#include <gtest/gtest.h>

#include "mil/builder.h"
#include "mil/interpreter.h"
#include "mil/verifier.h"

namespace pome::mil::passes {
namespace {

TEST(DeclareInOrder, SortsByNameAndChangesNoResult) {
    Builder b;
    const auto type = Type::tensor(DType::fp16, {1, 2});
    const auto x = b.input("x", type), upper = b.input("W", type), a = b.input("a", type);
    b.output(b.rename(b.sub(x, upper), "q"));
    b.output(b.rename(b.mul(x, a), "p"));
    const Function plain = b.take(), ordered = declare_in_order(plain);
    verify(make_program(ordered));
    std::vector<std::string> names;
    for (const auto& parameter : ordered.parameters) {
        names.push_back(parameter.name);
    }
    EXPECT_EQ(names, (std::vector<std::string>{"W", "a", "x"}));
    EXPECT_EQ(ordered.outputs, (std::vector<std::string>{"p", "q"}));
    const Tensors inputs{
        {"x", {{1, 2}, {3.0, 4.0}}}, {"W", {{1, 2}, {1.0, 1.0}}}, {"a", {{1, 2}, {2.0, 0.5}}}};
    const auto before = interpret({make_program(plain), {}}, inputs),
               after = interpret({make_program(ordered), {}}, inputs);
    EXPECT_EQ(before.at("p").data, after.at("p").data);
    EXPECT_EQ(before.at("q").data, after.at("q").data);
    EXPECT_EQ(declare_in_order(ordered), ordered);
}

}  // namespace
}  // namespace pome::mil::passes
