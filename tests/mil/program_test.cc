#include "mil/program.h"

#include <gtest/gtest.h>

#include <cmath>

#include "mil/corpus.h"

namespace pome::mil {
namespace {

std::vector<int> bytes_of(const Literal& literal) {
    std::vector<int> result;
    for (const std::byte b : std::get<Literal::Bytes>(literal.payload)) {
        result.push_back(std::to_integer<int>(b));
    }
    return result;
}

TEST(Literal, LiesLittleEndianInItsOwnType) {
    EXPECT_EQ(bytes_of(Literal::integer(-2)), (std::vector<int>{0xFE, 0xFF, 0xFF, 0xFF}));
    EXPECT_EQ(bytes_of(Literal::boolean(true)), (std::vector<int>{1}));
    EXPECT_EQ(bytes_of(Literal::number(DType::fp16, 1.0)), (std::vector<int>{0x00, 0x3C}));
    EXPECT_EQ(bytes_of(Literal::number(DType::fp32, -0.0)), (std::vector<int>{0, 0, 0, 0x80}));
    EXPECT_EQ(bytes_of(Literal::number(DType::uint16, 513)), (std::vector<int>{1, 2}));
    EXPECT_EQ(bytes_of(Literal::number(DType::int4, -8)), (std::vector<int>{0xF8}));
    EXPECT_EQ(Literal::integers({3, -1}).type, Type::tensor(DType::int32, {2}));
}

TEST(Literal, RoundsFloatsToNearestEven) {
    // 2049 and 2051 lie in the middle between two fp16 values.
    const auto halves = Literal::tensor(DType::fp16, {4}, {2049, 2051, 65519, 65520});
    EXPECT_EQ(halves.numbers(), (std::vector<double>{2048, 2052, 65504, HUGE_VAL}));
    const auto single = Literal::number(DType::fp32, 16777217.0);
    EXPECT_EQ(single.numbers(), std::vector<double>{16777216.0});
}

TEST(Literal, HoldsEveryIntegerTypeUpToItsEnds) {
    struct Ends {
        DType dtype;
        double low, high;
    };
    for (const auto& [dtype, low, high] :
         {Ends{DType::int4, -8, 7}, Ends{DType::int8, -128, 127}, Ends{DType::int16, -32768, 32767},
          Ends{DType::int32, -0x1p31, 0x1p31 - 1}, Ends{DType::int64, -0x1p63, 0x1p63 - 1024},
          Ends{DType::uint1, 0, 1}, Ends{DType::uint2, 0, 3}, Ends{DType::uint3, 0, 7},
          Ends{DType::uint4, 0, 15}, Ends{DType::uint6, 0, 63}, Ends{DType::uint8, 0, 255},
          Ends{DType::uint16, 0, 65535}, Ends{DType::uint32, 0, 0x1p32 - 1},
          Ends{DType::uint64, 0, 0x1p64 - 2048}, Ends{DType::boolean, 0, 1}}) {
        SCOPED_TRACE(std::string(name(dtype)));
        EXPECT_EQ(Literal::tensor(dtype, {2}, {low, high}).numbers(),
                  (std::vector<double>{low, high}));
        const double above = high < 0x1p40 ? high + 1 : 2 * high;
        EXPECT_NE(refusal([&, d = dtype] { Literal::number(d, above); }), "accepted");
        EXPECT_NE(refusal([&, d = dtype, l = low] { Literal::number(d, 2 * l - 1); }), "accepted");
    }
    EXPECT_EQ(refusal([] { Literal::number(DType::int8, 300); }),
              "[mil.literal] 300 does not fit int8");
    EXPECT_EQ(refusal([] { Literal::number(DType::int32, 1.5); }),
              "[mil.literal] 1.5 does not fit int32");
    EXPECT_EQ(refusal([] { Literal::number(DType::int32, std::nan("")); }),
              "[mil.literal] nan does not fit int32");
}

TEST(Literal, RefusesWhatItCannotHold) {
    EXPECT_EQ(refusal([] {
                  Literal::tensor(DType::fp16, {2, 2}, {1, 2, 3});
              }),
              "[mil.literal] 3 values given for shape [2,2]");
    EXPECT_EQ(
        refusal([] { Literal::number(DType::bf16, 1); }),
        "[mil.literal] literals of bf16 cannot be made from numbers; store them in a weight file");
    EXPECT_EQ(refusal([] { Literal::text("a").numbers(); }),
              "[mil.literal] string holds no plain numbers");
    EXPECT_EQ(refusal([] {
                  Literal::blob(Type::scalar(DType::fp16), {"@model_path/w", 64}).numbers();
              }),
              "[mil.literal] fp16 holds no plain numbers");
}

TEST(Program, FindsWhatItHasAndNothingElse) {
    Operation relu{"relu", {{"x", {"a"}, false}}, {{"name", Literal::text("r")}}, {}, {}};
    relu.results = {{"b", Type::scalar(DType::fp32)}};
    Function main;
    main.parameters = {{"a", Type::scalar(DType::fp16)}};
    main.operations = {relu};
    Program program;
    program.functions = {main};
    ASSERT_NE(program.find_function("main"), nullptr);
    EXPECT_EQ(program.find_function("other"), nullptr);
    EXPECT_EQ(*main.find_type("a"), Type::scalar(DType::fp16));
    EXPECT_EQ(*main.find_type("b"), Type::scalar(DType::fp32));
    EXPECT_EQ(main.find_type("c"), nullptr);
    EXPECT_EQ(relu.find_argument("x")->operands.front(), Operand("a"));
    EXPECT_EQ(relu.find_argument("y"), nullptr);
    EXPECT_EQ(*relu.find_attribute("name"), Literal::text("r"));
    EXPECT_EQ(relu.find_attribute("val"), nullptr);
}

}  // namespace
}  // namespace pome::mil
