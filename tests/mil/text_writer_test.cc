#include <gtest/gtest.h>

#include "base/file.h"
#include "base/random.h"
#include "mil/corpus.h"
#include "mil/text.h"

namespace pome::mil {
namespace {

/// A program of one const in each of `values`.
Program constants(const std::vector<Literal>& values, Dialect dialect = Dialect::terse) {
    Function main;
    for (const Literal& value : values) {
        const std::string name = "c" + std::to_string(main.operations.size());
        main.operations.push_back({"const",
                                   {},
                                   {{"name", Literal::text(name)}, {"val", value}},
                                   {{name, value.type}},
                                   {}});
        main.outputs = {name};
    }
    const bool terse = dialect == Dialect::terse;
    return {terse ? "1.3" : "1.0", dialect, {}, {main}};
}

Literal raw(DType dtype, std::uint64_t bits) {
    Literal::Bytes bytes;
    for (std::size_t i = 0; i < size_in_memory(dtype); ++i) {
        bytes.push_back(static_cast<std::byte>(bits >> (8 * i) & 0xFF));
    }
    return {Type::scalar(dtype), bytes};
}

TEST(TextWriter, LaysProgramsOutLikeThis) {
    const std::string terse =
        R"(program(1.3)
[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}, {"empty", ""}})]
{
    func main<ios18>(tensor<fp16, [1, 4, 1, ?]> x) [flexible = list<tensor<int32, [2]>, ?>([[1, 2], [3, 4]])] {
        fp16 k = const()[name = string("k"), val = fp16(0x1.8p-3)];
        tensor<int32, [2, 2]> p = const()[name = string("p"), val = tensor<int32, [2, 2]>([[0, -1], [2, 3]])];
        tensor<fp16, [4]> w = const()[name = string("w"), val = tensor<fp16, [4]>(BLOBFILE(path = string("@model_path/weights/w.bin"), offset = uint64(64)))];
        bool a, tensor<fp16, [1]> b = op(axis = int32(1), flag = bool(true), values = (x, k));
    } -> (a, b);
}
)";
    const std::string canonical =
        R"(program(1.0)
[buildInfo = dict<tensor<string, []>, tensor<string, []>>({{"coremlc-version", "3505.4.1"}, {"empty", ""}})]
{
    func main<ios18>(tensor<fp16, [1, 4, 1, ?]> x) [flexible = list<tensor<int32, [2]>, ?>([[1, 2], [3, 4]])] {
        tensor<fp16, []> k = const()[name = tensor<string, []>("k"), val = tensor<fp16, []>(0x1.8p-3)];
        tensor<int32, [2, 2]> p = const()[name = tensor<string, []>("p"), val = tensor<int32, [2, 2]>([[0, -1], [2, 3]])];
        tensor<fp16, [4]> w = const()[name = tensor<string, []>("w"), val = tensor<fp16, [4]>(BLOBFILE(path = tensor<string, []>("@model_path/weights/w.bin"), offset = tensor<uint64, []>(64)))];
        tensor<bool, []> a, tensor<fp16, [1]> b = op(axis = tensor<int32, []>(1), flag = tensor<bool, []>(true), values = (x, k));
    } -> (a, b);
}
)";
    EXPECT_EQ(write(read(terse)), terse);
    EXPECT_EQ(write(read(canonical)), canonical);
    EXPECT_EQ(write(read(terse), Dialect::canonical), canonical);
    EXPECT_EQ(write(read(canonical), Dialect::terse), terse);
    EXPECT_EQ(write(read(terse), Dialect::terse), terse);
}

TEST(TextWriter, RealProgramsComeBackEqual) {
    if (corpus().empty()) {
        GTEST_SKIP() << corpus_missing;
    }
    for (const auto& path : corpus()) {
        SCOPED_TRACE(path.string());
        const Program program = read(read_text(path));
        const std::string text = write(program);
        EXPECT_EQ(read(text), program);
        EXPECT_EQ(write(read(text)), text);
        const bool terse = program.dialect == Dialect::terse;
        const Dialect other = terse ? Dialect::canonical : Dialect::terse;
        const Program translated = read(write(program, other));
        EXPECT_EQ(translated.dialect, other);
        EXPECT_EQ(translated.version, terse ? "1.0" : "1.3");
        EXPECT_EQ(translated.attributes, program.attributes);
        EXPECT_EQ(translated.functions, program.functions);
        EXPECT_EQ(read(write(translated, program.dialect)).functions, program.functions);
    }
}

/// But for white space we write what the compiler wrote.
/// text.
TEST(TextWriter, WritesTheCompilersOwnText) {
    if (corpus().empty()) {
        GTEST_SKIP() << corpus_missing;
    }
    int compared = 0;
    for (const auto& path : corpus()) {
        if (path.parent_path().filename() != "coremlc") {
            continue;
        }
        SCOPED_TRACE(path.string());
        const auto without_spaces = [](std::string text) {
            std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
            return text;
        };
        const std::string original = read_text(path);
        EXPECT_TRUE(without_spaces(write(read(original))) == without_spaces(original));
        ++compared;
    }
    EXPECT_GE(compared, 9);
}

TEST(TextWriter, EveryFp16ComesBackToTheBit) {
    std::vector<Literal> values;
    for (std::uint64_t bits = 0; bits <= 0xFFFF; ++bits) {
        values.push_back(raw(DType::fp16, bits));
    }
    const Program program = constants(values);
    EXPECT_TRUE(read(write(program)) == program);
}

TEST(TextWriter, AnyBitsOfOtherTypesComeBack) {
    const std::uint64_t seed = 20240601;
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    std::vector<Literal> values;
    for (const DType dtype :
         {DType::fp32, DType::fp64, DType::int8, DType::int16, DType::int32, DType::int64,
          DType::uint8, DType::uint16, DType::uint32, DType::uint64}) {
        for (const std::uint64_t end : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 63,
                                        std::uint64_t{0x7F800001}, std::uint64_t{0xFFC00000}}) {
            values.push_back(raw(dtype, end));
        }
        for (int i = 0; i < 500; ++i) {
            values.push_back(raw(dtype, random.next()));
        }
    }
    for (const Dialect dialect : {Dialect::terse, Dialect::canonical}) {
        const Program program = constants(values, dialect);
        EXPECT_TRUE(read(write(program)) == program);
    }
}

TEST(TextWriter, ContainersAndOddStringsComeBack) {
    const Type string = Type::scalar(DType::string);
    const Type pair{Type::Kind::tuple, {}, {}, {string, Type::scalar(DType::fp16)}, 0};
    const Literal half = Literal::number(DType::fp16, 0.5);
    const Literal item{pair, Literal::Items{Literal::text("\"\\\n\t\r\x01\xFF"), half}};
    const Literal other{pair, Literal::Items{Literal::text(""), Literal::integer(7)}};
    const Type list{Type::Kind::list, {}, {}, {pair}, Shape::unknown};
    const Type fixed{Type::Kind::list, {}, {}, {pair}, 2};
    const Type map{Type::Kind::dictionary, {}, {}, {string, list}, 0};
    const Literal items{list, Literal::Items{item, other}};
    const Program program = constants({
        items,
        {fixed, Literal::Items{other, item}},
        {map, Literal::Entries{{Literal::text("k"), items}, {Literal::text("nan"), items}}},
        {list, Literal::Items{}},
        {map, Literal::Entries{}},
        Literal::tensor(DType::boolean, {2, 2}, {1, 0, 0, 1}),
        Literal::tensor(DType::fp16, {3, 0}, {}),
        {Type::tensor(DType::string, {2}), Literal::Strings{"a", "true"}},
    });
    EXPECT_EQ(read(write(program)), program) << write(program);
}

TEST(TextWriter, RefusesLiteralsThatContradictThemselves) {
    const auto words = [](const Literal& literal) {
        return refusal([&] { write(constants({literal})); });
    };
    const Type two = Type::tensor(DType::fp16, {2});
    EXPECT_EQ(words({two, Literal::Bytes(2)}),
              "[mil.text] a literal of type fp16 [2] holds something else");
    EXPECT_EQ(words({two, Literal::Strings{"a", "b"}}),
              "[mil.text] a literal of type fp16 [2] holds something else");
    EXPECT_EQ(words({two, Literal::Items{}}),
              "[mil.text] a literal of type fp16 [2] holds something else");
    EXPECT_EQ(words({Type{Type::Kind::dictionary, {}, {}, {two}, 0}, Literal::Entries{}}),
              "[mil.text] a literal of type dictionary holds something else");
    EXPECT_EQ(words(raw(DType::bf16, 0)),
              "[mil.text] a literal of bf16 cannot be written; store it in a weight file");
}

}  // namespace
}  // namespace pome::mil
