#include "formats/tiny_checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/file.h"
#include "support/expect_error.h"
#include "support/forged_bytes.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;
using test::with;

/// Header of 64 bytes, W1 [H, D], W2 [D, H]: weights 1, 2, 3, ...
Bytes checkpoint(std::int32_t width, std::int32_t hidden) {
    const std::int32_t weights = 2 * width * hidden;
    Bytes file(64 + 4 * static_cast<std::size_t>(weights));
    const auto put = [&](std::size_t at, auto value) {
        std::memcpy(file.data() + at, &value, sizeof value);
    };
    put(0, std::int32_t{480});
    put(4, 0.121289F);
    put(8, width);
    put(12, hidden);
    put(16, std::int32_t{16});
    put(20, std::int32_t{2000});
    put(24, 1.0F);
    put(56, std::int32_t{480});
    put(60, std::int32_t{48});
    for (std::int32_t i = 0; i < weights; ++i) {
        put(64 + 4 * static_cast<std::size_t>(i), static_cast<float>(i + 1));
    }
    return file;
}

void expect_refused(std::string_view message, const Bytes& file) {
    test::expect_error(Code::malformed_file,
                       "[formats.tiny_checkpoint] t.bin: " + std::string(message),
                       [&] { parse_tiny_checkpoint(file, "t.bin"); });
}

TEST(TinyCheckpoint, HoldsTheHeaderAndBothMatrices) {
    const Bytes file = checkpoint(64, 128);
    EXPECT_EQ(file.size(), 65'600U) << "the published length";
    const TemporaryDirectory work;
    write_file_atomic(work.path() / "t.bin", file);
    const auto c = read_tiny_checkpoint(work.path() / "t.bin");
    EXPECT_EQ(c.step, 480);
    EXPECT_EQ(c.loss, 0.121289F);
    EXPECT_EQ(c.width, 64);
    EXPECT_EQ(c.hidden, 128);
    EXPECT_EQ(c.positions, 16);
    EXPECT_EQ(c.total_steps, 2000);
    EXPECT_EQ(c.learning_rate, 1.0F);
    ASSERT_EQ(c.w1.size(), 8192U);
    ASSERT_EQ(c.w2.size(), 8192U);
    EXPECT_EQ(c.w1[0], 1.0F);
    EXPECT_EQ(c.w1[8191], 8192.0F);
    EXPECT_EQ(c.w2[0], 8193.0F);
    EXPECT_EQ(c.w2[8191], 16384.0F);
}

TEST(TinyCheckpoint, RefusesWhatIsNone) {
    const Bytes file = checkpoint(2, 3);
    expect_refused("step is -1; is this a tiny_train checkpoint? (at byte 0)", with(file, 0, -1));
    expect_refused("D is 0; is this a tiny_train checkpoint? (at byte 8)", with(file, 8, 0));
    expect_refused("H is -3; is this a tiny_train checkpoint? (at byte 12)", with(file, 12, -3));
    expect_refused("S is 2147483647; is this a tiny_train checkpoint? (at byte 16)",
                   with(file, 16, std::numeric_limits<std::int32_t>::max()));
    expect_refused("total_steps is 0; is this a tiny_train checkpoint? (at byte 20)",
                   with(file, 20, 0));
    expect_refused(
        "112 bytes, a checkpoint of these sizes has 2251799813685312; truncated, or another file "
        "(at byte 0)",
        with(with(file, 8, 1 << 24), 12, 1 << 24));
    expect_refused("64 bytes wanted, but the file ends at byte 63; truncated? (at byte 0)",
                   Bytes(file.begin(), file.begin() + 63));
    expect_refused(
        "111 bytes, a checkpoint of these sizes has 112; truncated, or another file (at byte 0)",
        Bytes(file.begin(), file.end() - 1));
    expect_refused("W2[1] is nan: weights must be finite (at byte 92)",
                   with(file, 92, std::numeric_limits<float>::quiet_NaN()));
}

TEST(TinyCheckpoint, IsWrittenAsItWasRead) {
    Bytes file = checkpoint(2, 3);
    const auto c = parse_tiny_checkpoint(file, "t.bin");
    const TemporaryDirectory work;
    write_tiny_checkpoint(work.path() / "t.bin", c);
    for (const std::size_t at : {56U, 60U}) {  // steps and batches of its clocks
        file = with(file, at, std::int32_t{0});
    }
    EXPECT_EQ(read_file(work.path() / "t.bin"), file);
}

TEST(TinyCheckpoint, WhatTheFormatCannotHoldIsNotWritten) {
    auto c = parse_tiny_checkpoint(checkpoint(2, 3), "t.bin");
    c.step = std::int64_t{1} << 31;
    test::expect_error(Code::invalid_argument,
                       "[formats.tiny_checkpoint] t.bin: step is 2147483648, a tiny_train "
                       "checkpoint holds 0 to 2147483647",
                       [&] { write_tiny_checkpoint("t.bin", c); });
    c.step = 0;
    c.w2.pop_back();
    test::expect_error(Code::invalid_argument,
                       "[formats.tiny_checkpoint] t.bin: W2 has 5 values, 2 times 3 were expected",
                       [&] { write_tiny_checkpoint("t.bin", c); });
}

}  // namespace
}  // namespace pome::formats
