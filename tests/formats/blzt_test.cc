#include "formats/blzt.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/file.h"
#include "support/blzt_bytes.h"
#include "support/expect_error.h"
#include "support/forged_bytes.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;
using test::BlztFile;
using test::with;

/// Weights 1, 2, 3, ... in the file's order.
Bytes numbered(const BlztFile& file) {
    float next = 0.0F;
    return test::blzt_bytes(file, [&] { return next += 1.0F; });
}

BlztFile version_4() {
    BlztFile file;
    file.version = 4, file.kv_heads = 2, file.head_size = 6;  // q_dim 24, kv 12
    return file;
}

void expect_refused(std::string_view message, const Bytes& file) {
    test::expect_error(Code::malformed_file, "[formats.blzt] c.bin: " + std::string(message),
                       [&] { parse_blzt(file, "c.bin"); });
}

const NamedTensor& tensor(const BlztCheckpoint& c, std::string_view name) {
    const auto found = c.tensors.find(name);
    EXPECT_NE(found, c.tensors.end()) << name;
    return found->second;
}

TEST(Blzt, HasThePublishedLengths) {
    // Stories110M and the Qwen3-0.6B shape, as the sizes of their files are published.
    const auto parameters = [](std::int64_t d, std::int64_t h, std::int64_t l, std::int64_t q,
                               std::int64_t kv, std::int64_t v) {
        return l * (2 * q * d + 2 * kv * d + 3 * h * d + 2 * d) + d + v * d;
    };
    EXPECT_EQ(96 + 12 * parameters(768, 2048, 12, 768, 768, 32000), 1'314'358'368);
    EXPECT_EQ(96 + 12 * parameters(1024, 3072, 28, 2048, 1024, 151936), 7'152'513'120);
    EXPECT_EQ(numbered({}).size(),
              static_cast<std::size_t>(96 + 12 * parameters(8, 12, 2, 8, 8, 10)));
    EXPECT_EQ(numbered(version_4()).size(),
              static_cast<std::size_t>(96 + 12 * parameters(8, 12, 2, 24, 12, 10)));
}

TEST(Blzt, ReadsVersion2) {
    const auto c = parse_blzt(numbered({}), "c.bin");
    EXPECT_EQ(c.version, 2);
    EXPECT_EQ(c.width, 8);
    EXPECT_EQ(c.hidden, 12);
    EXPECT_EQ(c.layers, 2);
    EXPECT_EQ(c.heads, 4);
    EXPECT_EQ(c.kv_heads, 4);
    EXPECT_EQ(c.head_size, 2);
    EXPECT_EQ(c.query_width, 8);
    EXPECT_EQ(c.vocabulary, 10);
    EXPECT_EQ(c.sequence, 16);
    EXPECT_EQ(c.step, 480);
    EXPECT_EQ(c.total_steps, 1000);
    EXPECT_EQ(c.adam_updates, 47);
    EXPECT_EQ(c.learning_rate, 3e-4F);
    EXPECT_EQ(c.loss, 2.5F);
    // Each tensor goes on where the one before it ends; moments lie between, and are not read.
    std::size_t read = 0;
    float next = 0.0F;
    const auto expect = [&](const std::string& name, const Shape& shape) {
        const NamedTensor& t = tensor(c, name);
        EXPECT_EQ(t.shape, shape) << name;
        for (const float value : t.values) {
            ASSERT_EQ(value, next += 1.0F) << name;
        }
        ++read;
    };
    for (const std::string layer : {"layers.0.", "layers.1."}) {
        for (const char* name : {"wq", "wk", "wv", "wo"}) {
            expect(layer + "attention." + name + ".weight", {8, 8});
        }
        expect(layer + "feed_forward.w1.weight", {12, 8});
        expect(layer + "feed_forward.w2.weight", {8, 12});
        expect(layer + "feed_forward.w3.weight", {12, 8});
        expect(layer + "attention_norm.weight", {8});
        expect(layer + "ffn_norm.weight", {8});
    }
    expect("norm.weight", {8});
    expect("embedding.weight", {10, 8});
    EXPECT_EQ(c.tensors.size(), read);
}

TEST(Blzt, ReadsVersion4WithHeadsOfTheirOwnSize) {
    const TemporaryDirectory work;
    write_file_atomic(work.path() / "c", numbered(version_4()));
    const auto c = read_blzt(work.path() / "c");
    EXPECT_EQ(c.version, 4);
    EXPECT_EQ(c.kv_heads, 2);
    EXPECT_EQ(c.head_size, 6);
    EXPECT_EQ(c.query_width, 24);
    EXPECT_EQ(tensor(c, "layers.1.attention.wq.weight").shape, (Shape{24, 8}));
    EXPECT_EQ(tensor(c, "layers.1.attention.wk.weight").shape, (Shape{12, 8}));
    EXPECT_EQ(tensor(c, "layers.1.attention.wo.weight").shape, (Shape{8, 24}));
    constexpr int layer = 2 * 24 * 8 + 2 * 12 * 8 + 3 * 12 * 8 + 2 * 8;
    EXPECT_EQ(tensor(c, "layers.0.attention.wq.weight").values[0], 1.0F);
    EXPECT_EQ(tensor(c, "layers.1.attention.wq.weight").values[0], layer + 1.0F);
    EXPECT_EQ(tensor(c, "norm.weight").values[0], 2 * layer + 1.0F);
    EXPECT_EQ(tensor(c, "embedding.weight").values[79], 2 * layer + 8 + 80.0F);
}

TEST(Blzt, IsKnownByItsFirstBytes) {
    EXPECT_TRUE(is_blzt(test::as_bytes("TZLB")));
    EXPECT_FALSE(is_blzt(test::as_bytes("BLZT")));
    EXPECT_FALSE(is_blzt(test::as_bytes("TZL")));
    expect_refused("magic is 0x545a4c42, not 0x424c5a54; is this a BLZT checkpoint? (at byte 0)",
                   with(numbered({}), 0, 0x545A4C42));
}

TEST(Blzt, RefusesHostileHeaders) {
    const Bytes two = numbered({}), four = numbered(version_4());
    const auto refused = [](const Bytes& file, std::size_t at, std::int32_t value,
                            const std::string& rule) {
        expect_refused(fmt::format("{} (at byte {})", rule, at), with(file, at, value));
    };
    refused(two, 4, 3, "version 3 is unknown; 2 and 4 are read");
    refused(two, 8, -1, "step is -1, a count cannot be negative");
    refused(two, 12, -5, "total_steps is -5, a count cannot be negative");
    refused(two, 16, 0, "n_layers is 0, it must be from 1 to 16777216");
    refused(two, 20, -32000, "vocab is -32000, it must be from 1 to 16777216");
    refused(two, 24, std::numeric_limits<std::int32_t>::min(),
            "dim is -2147483648, it must be from 1 to 16777216");
    refused(two, 28, std::numeric_limits<std::int32_t>::max(),
            "hidden is 2147483647, it must be from 1 to 16777216");
    refused(two, 32, 0, "n_heads is 0, it must be from 1 to 16777216");
    refused(two, 32, 3, "dim 8 is no multiple of n_heads 3");
    refused(two, 36, 0, "seq is 0, it must be from 1 to 16777216");
    refused(two, 80, -1, "adam_t is -1, a count cannot be negative");
    refused(four, 84, 0, "kv_heads is 0, it must be from 1 to 16777216");
    refused(four, 84, 3, "n_heads 4 is no multiple of kv_heads 3");
    refused(four, 88, -6, "head_dim is -6, it must be from 1 to 16777216");
    refused(four, 92, 0, "q_dim is 0, it must be from 1 to 16777216");
    refused(four, 92, 8, "q_dim is 8, but n_heads 4 times head_dim 6 is 24");
}

TEST(Blzt, TheLengthMustBeExact) {
    Bytes file = numbered({});
    const std::size_t exact = file.size();
    const auto message = [&](std::size_t found, std::string_view wanted) {
        return fmt::format(
            "{} bytes, a checkpoint of these sizes has {}; truncated, or not written whole (at "
            "byte 0)",
            found, wanted);
    };
    expect_refused(message(exact - 1, std::to_string(exact)), Bytes(file.begin(), file.end() - 1));
    expect_refused(message(96, std::to_string(exact)), Bytes(file.begin(), file.begin() + 96));
    expect_refused("96 bytes wanted, but the file ends at byte 95; truncated? (at byte 0)",
                   Bytes(file.begin(), file.begin() + 95));
    expect_refused("4 bytes wanted, but the file ends at byte 0; truncated? (at byte 0)", {});
    file.push_back(std::byte{0});
    expect_refused(message(exact + 1, std::to_string(exact)), file);
    // Products that do not fit 64 bits: 12 * (7 * 2^72 + 3 * 2^48 + 2^24).
    Bytes huge = file;
    for (const std::size_t field : {16U, 20U, 24U, 28U}) {
        huge = with(huge, field, 1 << 24);
    }
    expect_refused(message(exact + 1, "396678794694149560860672"), huge);
}

TEST(Blzt, NamesAWeightThatIsNotFinite) {
    const Bytes file = numbered({});
    expect_refused("layers.0.attention.wq.weight[3] is nan: weights must be finite (at byte 108)",
                   with(file, 96 + 4 * 3, std::numeric_limits<float>::quiet_NaN()));
    constexpr std::size_t layer = 4 * 64 + 3 * 96 + 16;
    expect_refused(
        fmt::format("norm.weight[7] is inf: weights must be finite (at byte {})",
                    96 + 4 * (2 * 3 * layer + 7)),
        with(file, 96 + 4 * (2 * 3 * layer + 7), std::numeric_limits<float>::infinity()));
    EXPECT_NO_THROW(
        parse_blzt(with(file, file.size() - 4, std::numeric_limits<float>::quiet_NaN()), "c.bin"))
        << "moments are not read";
}

}  // namespace
}  // namespace pome::formats
