#include "formats/weight_blob_repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "formats/weight_blob.h"

namespace pome::formats {
namespace {

using testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr std::size_t line = 64;

Bytes data() {
    Bytes bytes(512);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::byte>(i * 7 + 1);
    }
    return bytes;
}

Bytes sound() {
    BlobWriter writer;
    writer.add(DType::fp16, data());
    return writer.take();
}

template <typename T>
void put(Bytes& bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof(T));
}

void expect_repaired(const Bytes& damaged, BlobFault fault, const std::string& words) {
    const auto found = diagnose_blob(damaged);
    EXPECT_EQ(found.fault, fault);
    EXPECT_TRUE(found.repairable);
    EXPECT_THAT(found.explanation, HasSubstr(words));
    EXPECT_EQ(repair_blob(damaged, "f.bin", DType::fp16), sound());
    EXPECT_EQ(diagnose_blob(repair_blob(damaged, "f.bin", DType::fp16)).fault, BlobFault::none);
}

TEST(WeightBlobRepair, ASoundBlobStaysAsItIs) {
    EXPECT_EQ(diagnose_blob(sound()).fault, BlobFault::none);
    EXPECT_EQ(repair_blob(sound(), "f.bin", DType::fp16), sound());
}

TEST(WeightBlobRepair, A64ByteHeaderOfZerosOrOfAHeaderGetsItsRecord) {
    Bytes zeros(line);
    const Bytes values = data();
    zeros.insert(zeros.end(), values.begin(), values.end());
    expect_repaired(zeros, BlobFault::no_record, "64-byte header: no record");
    put<std::uint32_t>(zeros, 0, 1);
    put<std::uint32_t>(zeros, 4, 2);
    expect_repaired(zeros, BlobFault::no_record, "the container needs 128 bytes before the data");
}

TEST(WeightBlobRepair, ARecordWithoutStorageHeaderGetsOne) {
    Bytes bridge(line);  // as the bridge's int8 builder writes it
    put<std::uint32_t>(bridge, 0, 0xDEADBEEF);
    bridge[4] = std::byte{1};
    bridge[10] = std::byte{8};
    const Bytes values = data();
    bridge.insert(bridge.end(), values.begin(), values.end());
    expect_repaired(bridge, BlobFault::record_first, "the file begins with a record");
    put<std::uint32_t>(bridge, 0, 0xEFBEADDE);
    expect_repaired(bridge, BlobFault::reversed_magic_first, "whose magic has its bytes reversed");
}

TEST(WeightBlobRepair, AReversedMagicIsTurned) {
    Bytes reversed = sound();
    put<std::uint32_t>(reversed, line, 0xEFBEADDE);
    expect_repaired(reversed, BlobFault::reversed_sentinel, "has its bytes reversed");
}

TEST(WeightBlobRepair, TheBenchmarksRecordGetsItsSizeAndOffset) {
    Bytes bench = sound();
    put<std::uint64_t>(bench, line + 8, 0x80000);  // size of a 512 x 512 tensor, whatever it is
    put<std::uint64_t>(bench, line + 16, 0);
    expect_repaired(bench, BlobFault::record_numbers,
                    "says 524288 bytes of data at 0, the file holds 512 at 128");
    Bytes headless = sound();
    std::memset(headless.data(), 0, line);
    expect_repaired(headless, BlobFault::record_numbers, "the storage header is empty");
}

TEST(WeightBlobRepair, WhatIsNoBlobIsLeftAlone) {
    const auto unknown = [](const Bytes& bytes) {
        const auto found = diagnose_blob(bytes);
        EXPECT_EQ(found.fault, BlobFault::unknown);
        EXPECT_FALSE(found.repairable);
        EXPECT_THROW(repair_blob(bytes, "f.bin", DType::fp16), Error);
    };
    unknown({});
    unknown(Bytes(63));
    unknown(data());
    Bytes checkpoint(4096);  // BLZT version 2: its version lies where a blob's does
    put<std::uint32_t>(checkpoint, 0, 0x424C5A54);
    put<std::uint32_t>(checkpoint, 4, 2);
    put<std::uint32_t>(checkpoint, 12, 10000);
    unknown(checkpoint);
    EXPECT_FALSE(diagnose_blob(Bytes(line)).repairable);  // nothing behind the header
}

TEST(WeightBlobRepair, TheElementTypeMustFitTheData) {
    Bytes odd(line + 3);
    try {
        repair_blob(odd, "f.bin", DType::fp16);
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.text(), HasSubstr("3 bytes of data are no whole number of fp16"));
    }
    EXPECT_NO_THROW(repair_blob(odd, "f.bin", DType::int8));
    EXPECT_THROW(repair_blob(odd, "f.bin", DType::int4), Error);
}

}  // namespace
}  // namespace pome::formats
