#include "base/bytes.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace pome {
namespace {

TEST(Bytes, WhatIsWrittenIsRead) {
    ByteWriter out;
    out.put<std::uint8_t>(0xAB);
    out.put<std::uint16_t>(0x1234);
    out.put<std::uint32_t>(0xDEADBEEF);
    out.put<std::uint64_t>(0x0102030405060708);
    out.put<std::int32_t>(-5);
    out.put(1.5F);
    const ByteReader in(out.bytes(), "test", "file");
    EXPECT_EQ(in.u8(0), 0xAB);
    EXPECT_EQ(in.u8(1), 0x34) << "little-endian";
    EXPECT_EQ(in.u16(1), 0x1234);
    EXPECT_EQ(in.u32(3), 0xDEADBEEF);
    EXPECT_EQ(in.u64(7), 0x0102030405060708U);
    EXPECT_EQ(in.i32(15), -5);
    EXPECT_EQ(in.f32(19), 1.5F);
    EXPECT_EQ(in.bytes(23, 0).size(), 0U);
}

TEST(Bytes, PaddingIsZero) {
    ByteWriter out;
    out.pad_to(8);
    EXPECT_EQ(out.size(), 0U);
    out.put<std::uint8_t>(1);
    out.pad_to(8);
    EXPECT_EQ(out.bytes(), (std::vector<std::byte>{std::byte{1}, {}, {}, {}, {}, {}, {}, {}}));
    EXPECT_EQ(out.take().size(), 8U);
}

TEST(Bytes, NoReadPassesTheEnd) {
    const std::vector<std::byte> bytes(8);
    const ByteReader in(bytes, "test.place", "a.bin");
    const auto refused = [&](std::string_view text, const auto& read) {
        test::expect_error(Code::malformed_file, text, read);
    };
    refused(
        "[test.place] a.bin: 4 bytes wanted, but the file ends at byte 8; truncated? (at byte 5)",
        [&] { in.u32(5); });
    refused(
        "[test.place] a.bin: 1 bytes wanted, but the file ends at byte 8; truncated? (at byte 9)",
        [&] { in.u8(9); });
    // Sums that wrap are no way in.
    constexpr auto huge = std::numeric_limits<std::uint64_t>::max();
    refused(
        "[test.place] a.bin: 18446744073709551615 bytes wanted, but the file ends at byte 8; "
        "truncated? (at byte 1)",
        [&] { in.bytes(1, huge); });
    refused(
        "[test.place] a.bin: 2 bytes wanted, but the file ends at byte 8; truncated? (at byte "
        "18446744073709551615)",
        [&] { in.bytes(huge, 2); });
}

}  // namespace
}  // namespace pome
