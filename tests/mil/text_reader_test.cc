#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <set>

#include "base/file.h"
#include "mil/corpus.h"
#include "mil/text.h"
#include "mil/verifier.h"

namespace pome::mil {
namespace {

/// A program whose only statement is `statement`.
Program program_of(const std::string& statement) {
    return read(
        "program(1.3)[buildInfo = dict<string, string>({})]{func main<ios18>("
        "tensor<fp16, [1, 4, 1, 2]> x) {" +
        statement + "} -> (y);}");
}

/// The literal that `text` spells.
Literal literal_of(const std::string& text) {
    const auto program = program_of("fp16 y = const()[val = " + text + "];");
    return program.functions.at(0).operations.at(0).attributes.at(0).value;
}

std::uint64_t bits_of(const std::string& text) {
    const Literal literal = literal_of(text);
    std::uint64_t bits = 0;
    const auto& bytes = std::get<Literal::Bytes>(literal.payload);
    for (std::size_t i = bytes.size(); i-- > 0;) {
        bits = bits << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    }
    return bits;
}

TEST(TextReader, ReadsNumbersToTheBit) {
    EXPECT_EQ(bits_of("fp16(0x1p-3)"), 0x3000U);
    EXPECT_EQ(bits_of("fp16(0x1.0p-3)"), 0x3000U);
    EXPECT_EQ(bits_of("fp16(-0x1P+0)"), 0xBC00U);
    EXPECT_EQ(bits_of("fp16(0.00001)"), 168U);  // the subnormal 168 x 2^-24
    EXPECT_EQ(bits_of("fp16(-0)"), 0x8000U);
    EXPECT_EQ(bits_of("fp16(65519.99)"), 0x7BFFU);
    EXPECT_EQ(bits_of("fp16(2049)"), 0x6800U);  // ties go to even
    EXPECT_EQ(bits_of("fp16(1e-30)"), 0U);
    EXPECT_EQ(bits_of("fp16(inf)"), 0x7C00U);
    EXPECT_EQ(bits_of("fp16(-inf)"), 0xFC00U);
    EXPECT_EQ(bits_of("fp16(nan)"), 0x7E00U);
    EXPECT_EQ(bits_of("fp16(-nan)"), 0xFE00U);
    EXPECT_EQ(bits_of("fp16(nan_0x7c01)"), 0x7C01U);
    EXPECT_EQ(bits_of("fp32(0.1)"), 0x3DCCCCCDU);
    EXPECT_EQ(bits_of("fp32(1)"), 0x3F800000U);
    EXPECT_EQ(bits_of("fp32(.5)"), 0x3F000000U);
    EXPECT_EQ(bits_of("fp32(5.e-1)"), 0x3F000000U);
    EXPECT_EQ(bits_of("fp32(1E+1)"), 0x41200000U);
    // Just above the middle between 1 and 1 + 2^-23: by way of double it would round down to 1.
    EXPECT_EQ(bits_of("fp32(0x1.0000010000000001p+0)"), 0x3F800001U);
    EXPECT_EQ(bits_of("fp64(0.1)"), 0x3FB999999999999AU);
    EXPECT_EQ(bits_of("uint64(18446744073709551615)"), ~std::uint64_t{0});
    EXPECT_EQ(bits_of("int64(9007199254740993)"), 9007199254740993U);  // 2^53 + 1: no double
    EXPECT_EQ(bits_of("int64(-9223372036854775808)"), std::uint64_t{1} << 63);
    EXPECT_EQ(bits_of("int8(-128)"), 0x80U);
    EXPECT_EQ(bits_of("uint4(15)"), 15U);
    EXPECT_EQ(bits_of("bool(true)"), 1U);
}

TEST(TextReader, TheLocaleIsNoPartOfTheLanguage) {
    const std::string before = std::setlocale(LC_ALL, nullptr);
    const char* const comma = std::setlocale(LC_ALL, "de_DE.UTF-8");
    EXPECT_EQ(bits_of("fp32(0.5)"), 0x3F000000U);
    EXPECT_EQ(bits_of("fp32(0x1.8p+0)"), 0x3FC00000U);
    std::setlocale(LC_ALL, before.c_str());
    if (comma == nullptr) {
        GTEST_SKIP() << "only tried in the C locale: de_DE.UTF-8 is not installed";
    }
}

TEST(TextReader, ListsMayBeFlatOrNested) {
    const auto nested = literal_of("tensor<int32, [1, 2, 3]>([[[1, 2, 3], [4, 5, 6]]])");
    EXPECT_EQ(nested.numbers(), (std::vector<double>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(literal_of("tensor<int32, [1, 2, 3]>([1, 2, 3, 4, 5, 6])"), nested);
    EXPECT_EQ(literal_of("tensor<int32, [0]>([])").numbers(), std::vector<double>{});
    EXPECT_EQ(literal_of("tensor<int32, [2, 0]>([[], []])"),
              literal_of("tensor<int32, [2, 0]>([])"));
    EXPECT_EQ(literal_of("tensor<int32, [?, 2]>([[1, 2], [3, 4]])").numbers().size(), 4U);
    const auto strings = literal_of("tensor<string, [2]>([\"a\", \"\"])");
    EXPECT_EQ(std::get<Literal::Strings>(strings.payload), (Literal::Strings{"a", ""}));
}

TEST(TextReader, StringsUnescapeAndKeepOtherBytes) {
    EXPECT_EQ(literal_of(R"(string("a\"b\\c\n\t\r{}[]=;"))"), Literal::text("a\"b\\c\n\t\r{}[]=;"));
    EXPECT_EQ(literal_of("string(\"\xE4\xBB\xA5\")"), Literal::text("\xE4\xBB\xA5"));
}

TEST(TextReader, BareArgumentsBecomeLiterals) {
    const auto program = program_of(
        "fp16 y = f(a = 1, b = -2.5, c = true, d = \"s\", e = x, f = (x, int8(3), 1e2), "
        "g = -inf, h = list<int32, 2>([1, 2]), i = tensor<fp16, []>(0x1p+0));");
    const auto& f = program.functions.at(0).operations.at(0);
    const auto given = [&](const char* name) { return f.find_argument(name)->operands.at(0); };
    EXPECT_EQ(given("a"), Operand(Literal::integer(1)));
    EXPECT_EQ(given("b"), Operand(Literal::number(DType::fp32, -2.5)));
    EXPECT_EQ(given("c"), Operand(Literal::boolean(true)));
    EXPECT_EQ(given("d"), Operand(Literal::text("s")));
    EXPECT_EQ(given("e"), Operand("x"));
    EXPECT_FALSE(f.find_argument("e")->is_tuple);
    EXPECT_TRUE(f.find_argument("f")->is_tuple);
    EXPECT_EQ(f.find_argument("f")->operands,
              (std::vector<Operand>{"x", Literal::number(DType::int8, 3),
                                    Literal::number(DType::fp32, 100)}));
    EXPECT_EQ(given("g"), Operand(Literal::number(DType::fp32, -HUGE_VAL)));
    EXPECT_EQ(std::get<Literal>(given("h")).type.kind, Type::Kind::list);
    EXPECT_EQ(given("i"), Operand(Literal::number(DType::fp16, 1)));
}

TEST(TextReader, ReadsStatesSeveralResultsAndPositions) {
    const auto program = read(
        "program(1.3)\n{\n  func a<ios18>(state<tensor<fp16, [1, 2]>> s, tensor<fp16, [?, 2]> x) "
        "{\n"
        "    fp16 p, tensor<fp16, [1]> q = split(x = s);\n  } -> (p, q);\n"
        "  func b<ios18>() {\n  } -> (z);\n}\n");
    ASSERT_EQ(program.functions.size(), 2U);
    const Function& a = program.functions[0];
    EXPECT_EQ(a.parameters[0].type.kind, Type::Kind::state);
    EXPECT_EQ(a.parameters[0].type.items.at(0), Type::tensor(DType::fp16, {1, 2}));
    EXPECT_EQ(a.parameters[1].type.shape, (Shape{Shape::unknown, 2}));
    EXPECT_EQ(a.operations.at(0).results,
              (std::vector<NamedType>{{"p", Type::scalar(DType::fp16)},
                                      {"q", Type::tensor(DType::fp16, {1})}}));
    EXPECT_EQ(a.outputs, (std::vector<std::string>{"p", "q"}));
    EXPECT_EQ(a.operations[0].position.line, 4);
    EXPECT_EQ(a.operations[0].position.column, 5);
    EXPECT_EQ(program.functions[1].position.line, 6);
}

TEST(TextReader, TheFirstScalarTellsTheDialect) {
    const auto dialect = [](const std::string& version, const std::string& scalar) {
        return read("program(" + version + "){func m<ios16>(" + scalar + "){}->(x);}").dialect;
    };
    EXPECT_EQ(dialect("1.0", "fp16 x"), Dialect::terse);
    EXPECT_EQ(dialect("1.3", "tensor<fp16, []> x"), Dialect::canonical);
    EXPECT_EQ(dialect("1.0", "tensor<fp16, [1]> x"), Dialect::canonical);
    EXPECT_EQ(dialect("1.3", "tensor<fp16, [1]> x"), Dialect::terse);
}

TEST(TextReader, ReadsWhatRealProgramsSay) {
    if (corpus().empty()) {
        GTEST_SKIP() << corpus_missing;
    }
    std::set<std::string> names;
    for (const auto& path : corpus()) {
        SCOPED_TRACE(path.string());
        const Program program = read(read_text(path), path.filename().string());
        EXPECT_EQ(program.functions.size(), 1U);
        EXPECT_FALSE(program.functions.at(0).operations.empty());
        EXPECT_NE(program.attributes.size(), 0U);
        names.insert(path.filename().string());
        if (path.filename() == "OptimizationModels_TransposeEncoder.mil") {
            const Function& main = program.functions.at(0);
            EXPECT_EQ(main.parameters.at(0).type.shape, (Shape{1, Shape::unknown, Shape::unknown}));
            const Literal& flexible = main.attributes.at(0).value;
            EXPECT_EQ(main.attributes.at(0).name, "FlexibleShapeInformation");
            const auto& ranges = std::get<Literal::Items>(flexible.payload).at(1);
            const auto& pair = std::get<Literal::Items>(ranges.payload);
            EXPECT_EQ(pair.at(0), Literal::text("RangeDims"));
            const auto& [key, value] = std::get<Literal::Entries>(pair.at(1).payload).at(0);
            EXPECT_EQ(key, Literal::text("x"));
            EXPECT_EQ(std::get<Literal::Items>(value.payload).at(1).numbers(),
                      (std::vector<double>{1, 2048}));
        }
    }
    EXPECT_GE(names.size(), 25U);
}

TEST(TextReader, BadTextIsRefusedInTheseWords) {
    const auto folder = std::filesystem::path(POME_SOURCE_DIR) / "tests/mil/bad";
    int pairs = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        auto path = entry.path();
        const bool program = path.extension() == ".mil";
        EXPECT_TRUE(exists(path.replace_extension(program ? ".error" : ".mil"))) << entry.path();
        if (!program) {
            continue;
        }
        const std::string found = refusal(
            [&] { verify(read(read_text(entry.path()), entry.path().filename().string())); });
        EXPECT_EQ(found + "\n", read_text(path)) << entry.path();
        ++pairs;
    }
    EXPECT_GE(pairs, 60);
}

TEST(TextReader, CutTextIsRefusedWhereverItEnds) {
    const std::string whole = write(program_of(
        "tensor<fp16, [2]> y = add(x = x, y = (x, 1))[v = dict<string, fp16>({{\"a\", 0x1p-3}}), "
        "w = tensor<fp16, [2]>(BLOBFILE(path = string(\"@model_path/w\"), offset = "
        "uint64(64)))];"));
    EXPECT_NO_THROW(read(whole));
    for (std::size_t size = 0; size + 1 < whole.size(); ++size) {
        EXPECT_NE(refusal([&] { read(whole.substr(0, size)); }), "accepted") << size;
    }
}

TEST(TextReader, NestingIsRefusedNotFollowed) {
    for (const std::string open : {"list<", "dict<", "tuple<", "state<"}) {
        std::string deep = "program(1.3){func m<ios18>(";
        for (int i = 0; i < 100000; ++i) {
            deep += open;
        }
        EXPECT_NE(refusal([&] { read(deep, "p"); }).find("expected at most 64 levels of nesting"),
                  std::string::npos);
    }
}

}  // namespace
}  // namespace pome::mil
