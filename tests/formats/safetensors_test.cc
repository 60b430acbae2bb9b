#include "formats/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/random.h"
#include "support/expect_error.h"
#include "support/forged_bytes.h"
#include "support/full_disk.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;

Bytes file_of(std::string_view header, std::size_t data) {
    ByteWriter out;
    out.put<std::uint64_t>(header.size());
    out.put_bytes(test::as_bytes(header));
    out.put_bytes(Bytes(data));
    return out.take();
}

std::string tensor(std::string_view name, std::string_view dtype, std::string_view shape,
                   std::string_view offsets) {
    return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape,
                       offsets);
}

void expect_refused(std::string_view message, const Bytes& file) {
    test::expect_error(Code::malformed_file,
                       "[formats.safetensors] a.safetensors: " + std::string(message),
                       [&] { parse_safetensors(file, "a.safetensors", nullptr); });
}

/// One tensor "t", alone in a file with `data` bytes.
void expect_tensor_refused(std::string_view message, std::string_view dtype, std::string_view shape,
                           std::string_view offsets, std::size_t data) {
    expect_refused("tensor 't': " + std::string(message) + " (at byte 8)",
                   file_of("{" + tensor("t", dtype, shape, offsets) + "}", data));
}

TEST(Safetensors, EveryDTypeSurvives) {
    constexpr std::uint64_t seed = 21;
    SCOPED_TRACE(seed);
    Random random(seed);
    const TemporaryDirectory work;
    std::vector<Bytes> data;
    std::vector<TensorView> views;
    const std::vector<DType> dtypes{
        DType::uint8,  DType::fp16,   DType::fp32,    DType::fp64,       DType::bf16,
        DType::int8,   DType::int16,  DType::int32,   DType::int64,      DType::uint16,
        DType::uint32, DType::uint64, DType::boolean, DType::fp8_e4m3fn, DType::fp8_e5m2};
    for (const DType dtype : dtypes) {
        data.emplace_back(3 * size_in_memory(dtype));
        for (auto& byte : data.back()) {
            byte = static_cast<std::byte>(random.below(256));
        }
    }
    for (std::size_t i = 0; i < dtypes.size(); ++i) {
        views.push_back({std::string(name(dtypes[i])), dtypes[i], {3, 1}, data[i]});
    }
    views.push_back({"empty", DType::fp32, {0, 5}, {}});
    write_safetensors(work.path() / "a", views, {{"format", "pome"}, {"text", "\"\n\xC3\xA4"}});
    const SafetensorsFile file(work.path() / "a");
    EXPECT_EQ(file.metadata().size(), 2U);
    EXPECT_EQ(file.metadata().find("text")->second, "\"\n\xC3\xA4");
    ASSERT_EQ(file.tensors().size(), views.size());
    for (const TensorView& view : views) {
        const auto& read = file.tensors().find(view.name)->second;
        EXPECT_EQ(read.dtype, view.dtype) << view.name;
        EXPECT_EQ(read.shape, view.shape) << view.name;
        EXPECT_TRUE(std::ranges::equal(read.bytes, view.bytes)) << view.name;
    }
}

TEST(Safetensors, HasTheFormatsBytes) {
    const TemporaryDirectory work;
    const Bytes data = test::to_bytes("abcd");
    write_safetensors(work.path() / "a", std::vector<TensorView>{{"x", DType::fp16, {2}, data}},
                      {});
    const std::string header = R"({"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})";
    const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
    Bytes expected = file_of(padded, 0);
    expected.insert(expected.end(), data.begin(), data.end());
    EXPECT_EQ(read_file(work.path() / "a"), expected);
}

TEST(Safetensors, ReadsFilesWithoutTensors) {
    EXPECT_TRUE(parse_safetensors(file_of("{}", 0), "a", nullptr).empty());
    std::map<std::string, std::string, std::less<>> metadata{{"left", "over"}};
    parse_safetensors(file_of(R"({"__metadata__":{"a":"b"}})", 0), "a", &metadata);
    EXPECT_EQ(metadata, (std::map<std::string, std::string, std::less<>>{{"a", "b"}}));
}

TEST(Safetensors, RefusesOtherFiles) {
    expect_refused("8 bytes wanted, but the file ends at byte 3; truncated? (at byte 0)", Bytes(3));
    const auto header_of = [](std::uint64_t length, std::size_t file) {
        expect_refused(fmt::format("the header has {} bytes, the file {}; truncated, or not a "
                                   "safetensors file (at byte 0)",
                                   length, file),
                       test::with(Bytes(file), 0, length));
    };
    header_of(9, 16);
    header_of(~std::uint64_t{0}, 16);
    header_of(100'000'001, 100'000'100);  // it fits, but the format allows 100 MB
    expect_refused("the header is no JSON object (at byte 8)", Bytes(8));
    expect_refused("the header is no JSON object (at byte 8)", file_of(" {}", 0));
    expect_refused("this is no JSON text; truncated? (at byte 13)", file_of("{\"a\":", 0));
    expect_refused("this is no JSON text; truncated? (at byte 10)", file_of("{\"\xFF\":1}", 0));
}

TEST(Safetensors, RefusesHostileJson) {
    expect_refused("the JSON text has the key 't' twice in one object (at byte 8)",
                   file_of("{" + tensor("t", "U8", "[0]", "[0,0]") + "," +
                               tensor("t", "U8", "[0]", "[0,0]") + "}",
                           0));
    expect_refused("the JSON text has the key 'dtype' twice in one object (at byte 8)",
                   file_of(R"({"t":{"dtype":"U8","dtype":"I8"}})", 0));
    expect_refused("the JSON text nests deeper than 4 levels (at byte 8)",
                   file_of("{\"t\":" + std::string(100'000, '['), 0));
    expect_refused("__metadata__ is no JSON object (at byte 8)",
                   file_of(R"({"__metadata__":"x"})", 0));
    expect_refused("metadata 'a' is no text (at byte 8)",
                   file_of(R"({"__metadata__":{"a":1}})", 0));
    expect_refused("tensor 't': needs dtype, shape and data_offsets, nothing else (at byte 8)",
                   file_of(R"({"t":[]})", 0));
    expect_refused("tensor 't': needs dtype, shape and data_offsets, nothing else (at byte 8)",
                   file_of(R"({"t":{"dtype":"U8","shape":[0]}})", 0));
    expect_refused("tensor 't': its dtype is no text (at byte 8)",
                   file_of(R"({"t":{"dtype":1,"shape":[0],"data_offsets":[0,0]}})", 0));
}

TEST(Safetensors, RefusesHostileTensors) {
    expect_tensor_refused("unknown dtype 'F4'", "F4", "[1]", "[0,1]", 1);
    expect_tensor_refused("its shape is no array", "U8", "1", "[0,1]", 1);
    const auto no_size = "shape has a size that is negative or no integer";
    expect_tensor_refused(no_size, "U8", "[-1]", "[0,1]", 1);
    expect_tensor_refused(no_size, "U8", "[1.0]", "[0,1]", 1);
    expect_tensor_refused("shape has a size beyond 2^62", "U8", "[0,18446744073709551615]", "[0,0]",
                          0);
    expect_tensor_refused("shape has more than 2^62 bytes", "U8", "[4294967296,1073741824,2]",
                          "[0,0]", 0);
    // 2^64 bytes would wrap to the 0 of the offsets.
    expect_tensor_refused("shape has more than 2^62 bytes", "F32", "[4611686018427387904]", "[0,0]",
                          0);
    expect_tensor_refused("data_offsets are not two offsets", "U8", "[1]", "[0]", 1);
    expect_tensor_refused("data_offsets are not two offsets", "U8", "[1]", "[-1,0]", 1);
    expect_tensor_refused("bytes 0 to 2 do not lie in the 1 bytes of data; truncated?", "U8", "[2]",
                          "[0,2]", 1);
    expect_tensor_refused("bytes 1 to 0 do not lie in the 1 bytes of data; truncated?", "U8", "[1]",
                          "[1,0]", 1);
    expect_tensor_refused("1 bytes, fp32 [1] has 4", "F32", "[1]", "[0,1]", 1);
}

TEST(Safetensors, RangesNeitherOverlapNorLeaveHoles) {
    const auto pair = [](std::string_view first, std::string_view second, std::size_t data) {
        return file_of(
            "{" + tensor("a", "U8", "[4]", first) + "," + tensor("b", "U8", "[4]", second) + "}",
            data);
    };
    EXPECT_EQ(parse_safetensors(pair("[4,8]", "[0,4]", 8), "a", nullptr).size(), 2U) << "any order";
    const auto start = [](int at, std::string_view cause) {
        return fmt::format("tensor '{}': its bytes start at {}, {} (at byte 8)",
                           at == 1 ? 'a' : 'b', at, cause);
    };
    const auto overlap = "they overlap those before, which end at 4";
    expect_refused(start(2, overlap), pair("[0,4]", "[2,6]", 6));
    expect_refused(start(0, overlap), pair("[0,4]", "[0,4]", 4));
    expect_refused(start(5, "the ones before end at 4"), pair("[0,4]", "[5,9]", 9));
    expect_refused(start(1, "the ones before end at 0"), pair("[1,5]", "[5,9]", 9));
    const std::size_t end = pair("[0,4]", "[4,8]", 8).size();
    expect_refused(
        fmt::format("the tensors end at byte {}, the file at {} (at byte {})", end, end + 3, end),
        pair("[0,4]", "[4,8]", 11));
}

TEST(Safetensors, WritesNothingThatItWouldRefuse) {
    const TemporaryDirectory work;
    const auto path = work.path() / "a";
    const Bytes data(4);
    const auto refused = [&](Code code, const std::string& text,
                             const std::vector<TensorView>& views) {
        test::expect_error(code, "[formats.safetensors] " + text,
                           [&] { write_safetensors(path, views, {}); });
        EXPECT_FALSE(std::filesystem::exists(path));
    };
    constexpr Code wrong = Code::invalid_argument;
    const auto file = path.string();
    refused(wrong, file + ": the name 'x' is taken",
            {{"x", DType::fp32, {1}, data}, {"x", DType::fp32, {1}, data}});
    refused(wrong, file + ": the name '__metadata__' is taken",
            {{"__metadata__", DType::fp32, {1}, data}});
    refused(wrong, file + ": tensor 'x' has 4 bytes, they do not fill fp32 [2]",
            {{"x", DType::fp32, {2}, data}});
    refused(wrong, file + ": a tensor's name or its metadata is no UTF-8 text",
            {{"\xFF", DType::fp32, {1}, data}});
    refused(Code::unsupported, "tensor 'x': int4 cannot be stored in a safetensors file",
            {{"x", DType::int4, {4}, data}});
}

TEST(Safetensors, AFullDiskLeavesTheOldFile) {
    const TemporaryDirectory work;
    const auto path = work.path() / "a";
    const Bytes old(1), data(2000);
    write_safetensors(path, std::vector<TensorView>{{"old", DType::uint8, {1}, old}}, {});
    {
        const test::FullDisk full(1000);
        test::expect_error(
            Code::io, "[base.file] " + path.string() + ": cannot write: File too large", [&] {
                write_safetensors(path,
                                  std::vector<TensorView>{{"new", DType::uint8, {2000}, data}}, {});
            });
    }
    EXPECT_TRUE(SafetensorsFile(path).tensors().contains("old"));
}

TEST(Safetensors, AMovedFileKeepsItsTensors) {
    const TemporaryDirectory work;
    const Bytes data = test::to_bytes("abcd");
    write_safetensors(work.path() / "a", std::vector<TensorView>{{"x", DType::fp32, {1}, data}},
                      {});
    SafetensorsFile first(work.path() / "a");
    const SafetensorsFile second(std::move(first));
    EXPECT_TRUE(std::ranges::equal(second.tensors().find("x")->second.bytes, data));
}

}  // namespace
}  // namespace pome::formats
