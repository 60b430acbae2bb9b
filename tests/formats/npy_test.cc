#include "formats/npy.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/random.h"
#include "support/expect_error.h"
#include "support/forged_bytes.h"
#include "support/full_disk.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;

const std::string start("\x93NUMPY\x01\x00", 8);

/// A version 1.0 file with this header text, padded as NumPy does.
Bytes file_of(std::string header, std::string_view data) {
    header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');
    header += '\n';
    std::string text = start;
    text += static_cast<char>(header.size() & 0xFF);
    text += static_cast<char>(header.size() >> 8);
    return test::to_bytes(text + header + std::string(data));
}

std::string header_of(std::string_view descr, std::string_view shape) {
    return fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr, shape);
}

void expect_refused(std::string_view message, const Bytes& bytes) {
    test::expect_error(Code::malformed_file, "[formats.npy] a.npy: " + std::string(message),
                       [&] { parse_npy(bytes, "a.npy"); });
}

TEST(Npy, ReadsWhatNumPyWrites) {
    // numpy.save of numpy.array([[1, 2, 3], [4, 5, 6]], dtype='<i2')
    const std::string data("\1\0\2\0\3\0\4\0\5\0\6\0", 12);
    const auto array = parse_npy(file_of(header_of("<i2", "(2, 3)"), data), "a");
    EXPECT_EQ(array.dtype, DType::int16);
    EXPECT_EQ(array.shape, (Shape{2, 3}));
    EXPECT_EQ(array.bytes, test::to_bytes(data));
    EXPECT_EQ(parse_npy(file_of(header_of("|b1", "()"), "\1"), "a").shape, Shape{});
    EXPECT_EQ(parse_npy(file_of(header_of("<f2", "(0, 7)"), ""), "a").shape, (Shape{0, 7}));
    // Keys in another order and no last comma: other writers do that.
    const auto other = file_of("{'shape':(1,),'fortran_order':False,'descr':'|u1'}", "x");
    EXPECT_EQ(parse_npy(other, "a").shape, (Shape{1}));
}

TEST(Npy, ReadsVersionTwo) {
    const std::string header = header_of("<f4", "(1,)");
    std::string text = start;
    text[6] = 2;
    text += static_cast<char>(header.size());
    text += std::string(3, '\0') + header + "abcd";
    EXPECT_EQ(parse_npy(test::as_bytes(text), "a").bytes, test::to_bytes("abcd"));
}

TEST(Npy, EveryDTypeAndShapeSurvives) {
    constexpr std::uint64_t seed = 5;
    SCOPED_TRACE(seed);
    Random random(seed);
    const TemporaryDirectory work;
    for (const DType dtype : {DType::fp16, DType::fp32, DType::fp64, DType::int8, DType::int16,
                              DType::int32, DType::int64, DType::uint8, DType::uint16,
                              DType::uint32, DType::uint64, DType::boolean}) {
        for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 0}, Shape{1, 4, 1, 5}}) {
            Array array{dtype, shape, {}};
            array.bytes.resize(static_cast<std::size_t>(shape.elements()) * size_in_memory(dtype));
            for (auto& byte : array.bytes) {
                byte = static_cast<std::byte>(random.below(256));
            }
            write_npy(work.path() / "a.npy", array);
            const Array read = read_npy(work.path() / "a.npy");
            EXPECT_EQ(read.dtype, dtype);
            EXPECT_EQ(read.shape, shape);
            EXPECT_EQ(read.bytes, array.bytes);
        }
    }
}

TEST(Npy, WritesExactlyNumPysBytes) {
    const TemporaryDirectory work;
    const auto path = work.path() / "a.npy";
    write_npy(path, {DType::fp32, {3}, test::to_bytes("abcdefghijkl")});
    EXPECT_EQ(read_file(path), file_of(header_of("<f4", "(3,)"), "abcdefghijkl"));
    EXPECT_EQ(std::filesystem::file_size(path), 128U + 12U);
}

TEST(Npy, RefusesWhatIsNoArray) {
    expect_refused("6 bytes wanted, but the file ends at byte 0; truncated? (at byte 0)", {});
    expect_refused("this is no .npy file; write one with numpy.save (at byte 0)",
                   test::to_bytes("PK zip file"));
    std::string text = start + "more text";
    text[6] = 9;
    expect_refused("version 9 is unknown; 1 to 3 are read (at byte 6)", test::to_bytes(text));
    expect_refused("65535 bytes wanted, but the file ends at byte 12; truncated? (at byte 10)",
                   test::to_bytes(start + "\xFF\xFF{}"));
}

TEST(Npy, SaysHowToConvertOtherLayouts) {
    expect_refused(
        "the array is in Fortran order; save numpy.ascontiguousarray(array) (at byte 44)",
        file_of("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", "abcd"));
    expect_refused("dtype '>f4' is big-endian; save array.astype('<f4') (at byte 25)",
                   file_of(header_of(">f4", "(1,)"), "abcd"));
    expect_refused(
        "dtype '<c8' is not read; save array.astype(numpy.float32) or another number type (at byte "
        "25)",
        file_of(header_of("<c8", "(1,)"), "abcdefgh"));
    expect_refused(
        "structured arrays are not read; save each field as an array of its own (at byte 20)",
        file_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "abcd"));
}

TEST(Npy, RefusesBrokenHeaders) {
    expect_refused("the header has no '{' where it is needed (at byte 64)", file_of("", ""));
    expect_refused("the header has no 'descr' (at byte 64)", file_of("{}", ""));
    expect_refused("the header has no 'shape' (at byte 64)",
                   file_of("{'descr': '<f4', 'fortran_order': False}", ""));
    expect_refused("the header has no 'fortran_order' (at byte 64)",
                   file_of("{'descr': '<f4', 'shape': ()}", ""));
    expect_refused("the header's key 'descr' is unknown or stands twice (at byte 35)",
                   file_of("{'descr': '<f4', 'descr': '<f2'}", ""));
    expect_refused("the header's text has no end quote (at byte 12)", file_of("{'descr", ""));
    expect_refused("text follows the header's end (at byte 13)", file_of("{} x", ""));
    expect_refused("'fortran_order' is neither True nor False (at byte 28)",
                   file_of("{'fortran_order': 0}", ""));
}

TEST(Npy, RefusesHostileShapes) {
    const auto shape = [](std::string_view text) {
        return file_of(header_of("<f4", text), "abcd");
    };
    expect_refused("'shape' has a size that is no integer from 0 to 2^63 - 1 (at byte 61)",
                   shape("(-1,)"));
    expect_refused("'shape' has a size that is no integer from 0 to 2^63 - 1 (at byte 61)",
                   shape("(9223372036854775808,)"));
    expect_refused("the header has no ')' where it is needed (at byte 63)", shape("(1 1)"));
    expect_refused("shape [4294967296,4294967296] has more than 2^62 bytes (at byte 10)",
                   shape("(4294967296, 4294967296)"));
    expect_refused("4 bytes of data, shape [2] of fp32 has 8; truncated? (at byte 128)",
                   shape("(2,)"));
    expect_refused("4 bytes of data, shape [0] of fp32 has 0; more than one array? (at byte 128)",
                   shape("(0,)"));
    std::string axes = "(";
    for (int i = 0; i < 65; ++i) {
        axes += "1,";
    }
    expect_refused("'shape' has more than 64 axes (at byte 189)", shape(axes + ")"));
}

TEST(Npy, WritesNoArrayThatDoesNotFitItself) {
    const TemporaryDirectory work;
    const auto path = work.path() / "a.npy";
    test::expect_error(Code::invalid_argument,
                       "[formats.npy] " + path.string() + ": 5 bytes do not fill fp16 [2]", [&] {
                           write_npy(path, {DType::fp16, {2}, test::to_bytes("12345")});
                       });
    test::expect_error(Code::unsupported,
                       "[formats.npy] " + path.string() + ": bf16 cannot be stored as .npy", [&] {
                           write_npy(path, {DType::bf16, {1}, test::to_bytes("12")});
                       });
    const test::FullDisk full(100);
    test::expect_error(Code::io, "[base.file] " + path.string() + ": cannot write: File too large",
                       [&] {
                           write_npy(path, {DType::uint8, {2}, test::to_bytes("12")});
                       });
    EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace pome::formats
