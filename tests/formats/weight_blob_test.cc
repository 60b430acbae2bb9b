#include "formats/weight_blob.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/file.h"
#include "base/fp16.h"
#include "base/random.h"
#include "support/expect_error.h"
#include "support/forged_bytes.h"
#include "support/test_data.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;
using test::with;

Bytes fp16_file(std::size_t elements) {
    BlobWriter writer;
    writer.add(DType::fp16, Bytes(2 * elements));
    return writer.take();
}

Bytes bytes(std::initializer_list<int> values) {
    Bytes data;
    for (const int value : values) {
        data.push_back(static_cast<std::byte>(value));
    }
    return data;
}

void expect_refused(std::string_view message, const Bytes& file, std::uint64_t offset = 64) {
    test::expect_error(Code::malformed_file, "[formats.weight_blob] w.bin: " + std::string(message),
                       [&] { read_blob_record(file, "w.bin", offset); });
}

TEST(WeightBlob, HasThePublishedLayout) {
    BlobWriter writer;
    const Bytes data = test::to_bytes("abcd");
    EXPECT_EQ(writer.add(DType::fp16, data), 64U);
    Bytes expected(132);
    expected = with(expected, 0, std::uint64_t{0x0000000200000001});   // count 1, version 2
    expected = with(expected, 64, std::uint64_t{0x00000001DEADBEEF});  // EF BE AD DE, data type 1
    expected = with(expected, 72, std::uint64_t{4});
    expected = with(expected, 80, std::uint64_t{128});
    std::copy(data.begin(), data.end(), expected.begin() + 128);
    EXPECT_EQ(writer.take(), expected);
}

TEST(WeightBlob, SizesAreThePublishedOnes) {
    EXPECT_EQ(fp16_file(16 * 16).size(), 640U);
    EXPECT_EQ(fp16_file(256 * 256).size(), 131'200U);
    EXPECT_EQ(fp16_file(768 * 768).size(), 1'179'776U);
    EXPECT_EQ(fp16_file(2048 * 768).size(), 3'145'856U);
    EXPECT_EQ(fp16_file(32000 * 768).size(), 49'152'128U);
}

TEST(WeightBlob, RecordsAreWhereCompiledModelsHaveThem) {
    BlobWriter writer;  // pairs of a weight of 8192 bytes and a bias of 128
    const std::vector<std::uint64_t> offsets{64, 8320, 8512, 16768};
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(writer.add(DType::fp16, Bytes(i % 2 == 0 ? 8192 : 128)), offsets[i]);
    }
    const Bytes file = writer.take();
    EXPECT_EQ(file[0], std::byte{4}) << "the count";
    const auto records = list_blob_records(file, "w");
    ASSERT_EQ(records.size(), 4U);
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(records[i].offset, offsets[i]);
    }
}

struct Tensor {
    DType dtype;
    std::int64_t elements;
    Bytes bytes;
    std::uint64_t offset;
};

Tensor random_tensor(Random& random, DType dtype, std::int64_t elements) {
    Tensor t{dtype, elements, Bytes(static_cast<std::size_t>(elements) * size_in_memory(dtype)), 0};
    const std::uint64_t bound = std::uint64_t{1} << std::min<std::size_t>(8, bits(dtype));
    for (auto& byte : t.bytes) {
        const auto value = static_cast<int>(random.below(bound));
        byte = static_cast<std::byte>(dtype == DType::int4 ? value - 8 : value);
    }
    return t;
}

TEST(WeightBlob, EveryTypeAndLengthSurvives) {
    constexpr std::uint64_t seed = 9;
    SCOPED_TRACE(seed);
    Random random(seed);
    BlobWriter writer;
    std::vector<Tensor> tensors;
    for (const DType dtype :
         {DType::fp16, DType::fp32, DType::uint8, DType::int8, DType::bf16, DType::int16,
          DType::uint16, DType::int4, DType::uint1, DType::uint2, DType::uint4, DType::uint3,
          DType::uint6, DType::int32, DType::uint32, DType::fp8_e4m3fn, DType::fp8_e5m2}) {
        for (std::int64_t elements = 0; elements < 20; ++elements) {
            tensors.push_back(random_tensor(random, dtype, elements));
            tensors.back().offset = writer.add(dtype, tensors.back().bytes);
            EXPECT_EQ(tensors.back().offset % 64, 0U);
        }
    }
    const Bytes file = writer.take();
    for (const Tensor& t : tensors) {
        EXPECT_EQ(read_blob(file, "w", t.offset, t.dtype, t.elements), t.bytes)
            << name(t.dtype) << " x " << t.elements;
    }
    EXPECT_EQ(list_blob_records(file, "w").size(), tensors.size());
}

TEST(WeightBlob, PacksTheLowestBitsFirstAcrossBytes) {
    const auto packed = [](DType dtype, std::initializer_list<int> values) {
        BlobWriter writer;
        writer.add(dtype, bytes(values));
        const Bytes file = writer.take();
        const std::uint64_t used = values.size() * bits(dtype);
        EXPECT_EQ(read_blob_record(file, "w", 64).padding_bits, (file.size() - 128) * 8 - used);
        return Bytes(file.begin() + 128, file.end());
    };
    EXPECT_EQ(packed(DType::uint4, {0x1, 0x2, 0xF}), bytes({0x21, 0x0F}));
    EXPECT_EQ(packed(DType::int4, {-8, 7, -1}), bytes({0x78, 0x0F}));
    EXPECT_EQ(packed(DType::uint2, {1, 2, 3, 0, 2}), bytes({0x39, 0x02}));
    EXPECT_EQ(packed(DType::uint1, {1, 0, 0, 1, 0, 0, 0, 0, 1}), bytes({0x09, 0x01}));
    // 101, 110, 111: the third gives its low two bits to the first byte, the high one to the next.
    EXPECT_EQ(packed(DType::uint3, {5, 6, 7}), bytes({0b11110101, 0b1}));
    EXPECT_EQ(packed(DType::uint6, {0x3F, 0x01, 0x20, 0x15}), bytes({0x7F, 0x00, 0x56}));
}

TEST(WeightBlob, TheWriterIsStrict) {
    BlobWriter writer;
    const auto refused = [&](Code code, std::string_view text, DType dtype, const Bytes& data) {
        test::expect_error(code, "[formats.weight_blob] " + std::string(text),
                           [&] { writer.add(dtype, data); });
    };
    constexpr Code wrong = Code::invalid_argument;
    refused(wrong, "element 1 is 16: uint4 holds 0 to 15", DType::uint4, bytes({15, 16}));
    refused(wrong, "element 0 is 8: int4 holds -8 to 7", DType::int4, bytes({8}));
    refused(wrong, "element 0 is -9: int4 holds -8 to 7", DType::int4, bytes({-9}));
    refused(wrong, "3 bytes are no whole number of fp16", DType::fp16, Bytes(3));
    refused(Code::unsupported, "fp64 cannot be stored in a weight blob", DType::fp64, Bytes(8));
    EXPECT_EQ(writer.take().size(), 64U) << "what was refused left nothing";
    EXPECT_EQ(writer.add(DType::fp16, Bytes(2)), 64U) << "ready for the next file";
}

TEST(WeightBlob, RefusesOtherHeaders) {
    expect_refused("63 bytes are too few for a weight blob, whose header has 64 (at byte 0)",
                   Bytes(63));
    expect_refused(
        "Storage Reader expects file format version 2., found 1; is this a weight blob? (at byte "
        "4)",
        with(fp16_file(1), 4, 1));
    expect_refused(
        "Storage Reader expects file format version 2., found 7; is this a weight blob? (at byte "
        "4)",
        with(fp16_file(1), 4, 7));
}

TEST(WeightBlob, NamesTheHeaderlessVariants) {
    const std::string cause = "64-byte header: the container needs 128 bytes before the data";
    // 64 zero bytes, then data; a true header, then data; only the header; a record alone.
    expect_refused(
        "Storage Reader expects file format version 2., found 0; " + cause + " (at byte 4)",
        Bytes(256));
    expect_refused(
        "Invalid sentinel in blob_metadata: 0x00000000, not 0xdeadbeef; " + cause + " (at byte 64)",
        with(with(Bytes(256), 0, 1), 4, 2));
    expect_refused("no room for a record of 64 bytes in a file of 64; " + cause + " (at byte 64)",
                   BlobWriter().take());
    expect_refused("the file begins with a record: " + cause + " (at byte 0)",
                   with(Bytes(256), 0, 0xDEADBEEF));
}

TEST(WeightBlob, SaysWhyAnOffsetNamesNoRecord) {
    const Bytes file = fp16_file(256);
    expect_refused(
        "Invalid sentinel in blob_metadata: 0xefbeadde, not 0xdeadbeef; the bytes are reversed (at "
        "byte 64)",
        with(file, 64, 0xEFBEADDE));
    expect_refused(
        "Invalid sentinel in blob_metadata: 0x00000000, not 0xdeadbeef; BLOBFILE's offset names "
        "the record, at 64, not its data (at byte 128)",
        file, 128);
    expect_refused(
        "Invalid sentinel in blob_metadata: 0x00000000, not 0xdeadbeef; does BLOBFILE's offset "
        "name a record? (at byte 192)",
        file, 192);
    expect_refused(
        "records start behind the header, at byte 64; BLOBFILE's offset names the record, not the "
        "data (at byte 0)",
        file, 0);
    expect_refused("no room for a record of 64 bytes in a file of 640; truncated? (at byte 640)",
                   file, 640);
    expect_refused(
        "no room for a record of 64 bytes in a file of 640; truncated? (at byte "
        "18446744073709551552)",
        file, std::numeric_limits<std::uint64_t>::max() - 63);
}

TEST(WeightBlob, RefusesHostileRecords) {
    const Bytes file = fp16_file(4);
    expect_refused("data type 0 is unknown; 1 to 17 are read (at byte 68)", with(file, 68, 0));
    expect_refused("data type 18 is unknown; 1 to 17 are read (at byte 68)", with(file, 68, 18));
    expect_refused("10 bytes of data at 128 do not lie in a file of 136; truncated? (at byte 72)",
                   with(file, 72, std::uint64_t{10}));
    expect_refused(
        "18446744073709551488 bytes of data at 128 do not lie in a file of 136; truncated? (at "
        "byte 72)",
        with(file, 72, ~std::uint64_t{127}));
    expect_refused("7 bytes are no whole number of fp16 (at byte 72)",
                   with(file, 72, std::uint64_t{7}));
    expect_refused("data offset 0 lies before the end 128 of its own record (at byte 80)",
                   with(file, 80, std::uint64_t{0}));
    expect_refused("data offset 126 lies before the end 128 of its own record (at byte 80)",
                   with(file, 80, std::uint64_t{126}));
    expect_refused("data offset 129 is no multiple of 2, the size of fp16 (at byte 80)",
                   with(file, 80, std::uint64_t{129}));
    expect_refused(
        "8 bytes of data at 18446744073709551614 do not lie in a file of 136; truncated? (at byte "
        "72)",
        with(file, 80, ~std::uint64_t{1}));
    expect_refused("8 bytes of data at 128 do not lie in a file of 135; truncated? (at byte 72)",
                   Bytes(file.begin(), file.end() - 1));
}

TEST(WeightBlob, ChecksThePaddingOfSubByteTypesOnly) {
    const Bytes garbage = with(fp16_file(4), 88, ~std::uint64_t{0});  // as old writers left it
    EXPECT_EQ(read_blob_record(garbage, "w", 64).padding_bits, 0U);
    BlobWriter writer;
    writer.add(DType::uint3, Bytes(3));
    const Bytes file = writer.take();
    expect_refused("padding of 8 bits is a byte or more (at byte 88)",
                   with(file, 88, std::uint64_t{8}));
    expect_refused("2 bytes less 6 bits of padding are no whole number of uint3 (at byte 88)",
                   with(file, 88, std::uint64_t{6}));
    expect_refused("0 bytes less 1 bits of padding are no whole number of uint3 (at byte 88)",
                   with(with(file, 72, std::uint64_t{0}), 88, std::uint64_t{1}));
    EXPECT_EQ(read_blob(file, "w", 64, DType::uint3, 3).size(), 3U);
    test::expect_error(Code::malformed_file,
                       "[formats.weight_blob] w.bin: the record has 7 bits of padding, so 3 "
                       "elements of uint3, not 4 (at byte 88)",
                       [&] { read_blob(file, "w.bin", 64, DType::uint3, 4); });
}

TEST(WeightBlob, ComparesTheRecordWithTheDeclaredTensor) {
    const Bytes file = fp16_file(4);
    test::expect_error(
        Code::malformed_file,
        "[formats.weight_blob] w.bin: Metadata data type does not match requested type.: the "
        "record says fp16, the program int8 (at byte 68)",
        [&] { read_blob(file, "w.bin", 64, DType::int8, 8); });
    const auto refused = [&](std::int64_t elements, const std::string& message) {
        test::expect_error(Code::malformed_file,
                           "[formats.weight_blob] w.bin: the record has 8 bytes, " + message,
                           [&] { read_blob(file, "w.bin", 64, DType::fp16, elements); });
    };
    refused(3, "3 elements of fp16 have 6 (at byte 72)");
    refused(-1, "no file holds -1 elements (at byte 72)");
    // Twice this wraps to the 8 bytes that are there.
    refused((std::int64_t{1} << 62) + 4, "no file holds 4611686018427387908 elements (at byte 72)");
    refused(std::numeric_limits<std::int64_t>::max(),
            "no file holds 9223372036854775807 elements (at byte 72)");
}

/// Core ML's own files: garbage in the padding word, and the last record ends the file. Written by
/// us they are the same without the garbage.
void expect_rewritten(const std::filesystem::path& path, std::size_t count) {
    const Bytes file = read_file(path);
    const auto records = list_blob_records(file, path.string());
    ASSERT_EQ(records.size(), count);
    EXPECT_EQ(records.back().data_offset + records.back().bytes, file.size());
    BlobWriter writer;
    Bytes cleaned = file;
    for (const auto& record : records) {
        const auto elements = static_cast<std::int64_t>(record.bytes / 2);
        const auto data = read_blob(file, "w", record.offset, DType::fp16, elements);
        EXPECT_EQ(writer.add(DType::fp16, data), record.offset);
        std::fill_n(cleaned.begin() + static_cast<std::ptrdiff_t>(record.offset) + 24, 40,
                    std::byte{0});
    }
    EXPECT_TRUE(writer.take() == cleaned) << path;
}

TEST(WeightBlob, ReadsRealPackages) {
    const std::string inside = ".mlpackage/Data/com.apple.CoreML/weights/weight.bin";
    POME_REQUIRE_TEST_DATA(first, "mlpackage/DTLN_AEC_128_Part1" + inside);
    POME_REQUIRE_TEST_DATA(second, "mlpackage/DTLN_AEC_128_Part2" + inside);
    expect_rewritten(first, 12);
    expect_rewritten(second, 14);
}

/// Blobs of programs that ran on hardware: count 1 for several records, each right behind the data
/// before it, at offsets that are no multiples of 64 (fused_qkv.mil names 160, fused_ffn.mil 176).
TEST(WeightBlob, ReadsHandwrittenReferencesByOffsetAlone) {
    POME_REQUIRE_TEST_DATA(qkv_path, "mil/handwritten/qkv_blob_ref.bin");
    POME_REQUIRE_TEST_DATA(ffn_path, "mil/handwritten/ffn_blob_ref.bin");
    const auto first = [](const Bytes& file, std::uint64_t offset, std::int64_t elements) {
        fp16 value;
        std::memcpy(&value, read_blob(file, "w", offset, DType::fp16, elements).data(), 2);
        return value.bits;
    };
    const Bytes qkv = read_file(qkv_path), ffn = read_file(ffn_path);
    EXPECT_EQ(first(qkv, 64, 16), 0x3000);
    EXPECT_EQ(first(qkv, 160, 16), 0x5644);
    EXPECT_EQ(first(qkv, 256, 16), 0xD250);
    EXPECT_EQ(first(ffn, 64, 24), 0x3800);
    EXPECT_EQ(first(ffn, 176, 24), 0x5E43);
    EXPECT_EQ(list_blob_records(qkv, "w").size(), 3U);
    const auto records = list_blob_records(ffn, "w");
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[1].offset, 176U);
}

TEST(WeightBlob, ReadsABlobThatHardwareRan) {
    POME_REQUIRE_TEST_DATA(path, "hardware/weight_blob_4x4.bin");
    const Bytes data = read_blob(read_file(path), "w", 64, DType::fp16, 16);
    for (std::size_t i = 0; i < 16; ++i) {
        fp16 value;
        std::memcpy(&value, data.data() + 2 * i, 2);
        EXPECT_EQ(to_float(value), static_cast<float>(i + 1));
    }
}

}  // namespace
}  // namespace pome::formats
