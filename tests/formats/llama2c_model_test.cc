#include "formats/llama2c_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/file.h"
#include "support/expect_error.h"
#include "support/forged_bytes.h"
#include "support/full_disk.h"
#include "support/test_data.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;
using test::with;

/// Small, with every size another: dim 8, hidden 12, 2 layers, 4 heads, 2 key/value heads, 10
/// tokens, 3 positions. Each weight is another number.
Llama2cModel small_model(bool tied) {
    Llama2cModel m;
    m.width = 8, m.hidden = 12, m.layers = 2, m.heads = 4, m.kv_heads = 2, m.vocabulary = 10;
    m.sequence = 3, m.tied_head = tied;
    float next = 0.0F;
    const auto add = [&](const std::string& name, const Shape& shape) {
        NamedTensor& tensor = m.tensors[name];
        tensor.shape = shape;
        for (std::int64_t i = 0; i < shape.elements(); ++i) {
            tensor.values.push_back(next += 0.5F);
        }
    };
    add("embedding.weight", {10, 8});
    add("norm.weight", {8});
    for (const std::string layer : {"layers.0.", "layers.1."}) {
        add(layer + "attention_norm.weight", {8});
        add(layer + "attention.wq.weight", {8, 8});
        add(layer + "attention.wk.weight", {4, 8});
        add(layer + "attention.wv.weight", {4, 8});
        add(layer + "attention.wo.weight", {8, 8});
        add(layer + "ffn_norm.weight", {8});
        add(layer + "feed_forward.w1.weight", {12, 8});
        add(layer + "feed_forward.w2.weight", {8, 12});
        add(layer + "feed_forward.w3.weight", {12, 8});
    }
    if (!tied) {
        add("head.weight", {10, 8});
    }
    return m;
}

constexpr std::size_t small_floats = 10 * 8 + 8 + 2 * (8 + 64 + 32 + 32 + 64 + 8 + 96 + 96 + 96);
constexpr std::size_t small_bytes = 28 + 4 * (small_floats + 3 * 2);

Bytes written(const Llama2cModel& m) {
    const TemporaryDirectory work;
    write_llama2c(work.path() / "m.bin", m);
    return read_file(work.path() / "m.bin");
}

void expect_equal(const Llama2cModel& a, const Llama2cModel& b) {
    EXPECT_EQ(a.width, b.width);
    EXPECT_EQ(a.hidden, b.hidden);
    EXPECT_EQ(a.layers, b.layers);
    EXPECT_EQ(a.heads, b.heads);
    EXPECT_EQ(a.kv_heads, b.kv_heads);
    EXPECT_EQ(a.vocabulary, b.vocabulary);
    EXPECT_EQ(a.sequence, b.sequence);
    EXPECT_EQ(a.tied_head, b.tied_head);
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    for (const auto& [name, tensor] : a.tensors) {
        const auto found = b.tensors.find(name);
        ASSERT_NE(found, b.tensors.end()) << name;
        EXPECT_EQ(tensor.shape, found->second.shape) << name;
        EXPECT_TRUE(tensor.values == found->second.values) << name;
    }
}

float float_at(const Bytes& file, std::size_t at) {
    float value = 0.0F;
    std::memcpy(&value, file.data() + at, sizeof value);
    return value;
}

void expect_refused(std::string_view message, const Bytes& file) {
    test::expect_error(Code::malformed_file, "[formats.llama2c] m.bin: " + std::string(message),
                       [&] { parse_llama2c(file, "m.bin"); });
}

TEST(Llama2cModel, SurvivesWithAndWithoutASharedClassifier) {
    for (const bool tied : {true, false}) {
        const Llama2cModel m = small_model(tied);
        const Bytes file = written(m);
        EXPECT_EQ(file.size(), small_bytes + (tied ? 0 : 4 * 10 * 8));
        expect_equal(parse_llama2c(file, "m"), m);
    }
}

TEST(Llama2cModel, LiesInTheFileAsLlama2cReadsIt) {
    const Llama2cModel m = small_model(false);
    const Bytes file = written(m);
    const std::int32_t header[] = {8, 12, 2, 4, 2, -10, 3};  // a negative vocabulary: not shared
    EXPECT_EQ(std::memcmp(file.data(), header, sizeof header), 0);
    const auto first = [&](const char* name) { return m.tensors.find(name)->second.values[0]; };
    // Each array stands for all layers together.
    EXPECT_EQ(float_at(file, 28), first("embedding.weight"));
    EXPECT_EQ(float_at(file, 28 + 4 * 80), first("layers.0.attention_norm.weight"));
    EXPECT_EQ(float_at(file, 28 + 4 * 88), first("layers.1.attention_norm.weight"));
    EXPECT_EQ(float_at(file, 28 + 4 * 96), first("layers.0.attention.wq.weight"));
    EXPECT_EQ(float_at(file, 28 + 4 * (96 + 128)), first("layers.0.attention.wk.weight"));
    EXPECT_EQ(float_at(file, 28 + 4 * (96 + 128 + 32)), first("layers.1.attention.wk.weight"));
    const std::size_t tables = 28 + 4 * small_floats;
    EXPECT_EQ(float_at(file, tables - 4 * 8), first("norm.weight"));
    for (int position = 0; position < 3; ++position) {  // one pair a head: cos, then sin
        const std::size_t at = tables + 4 * static_cast<std::size_t>(position);
        EXPECT_EQ(float_at(file, at), static_cast<float>(std::cos(position)));
        EXPECT_EQ(float_at(file, at + 12), static_cast<float>(std::sin(position)));
    }
    EXPECT_EQ(float_at(file, tables + 24), first("head.weight"));
}

TEST(Llama2cModel, ReadsBothVersionsOfStories260K) {
    POME_REQUIRE_TEST_DATA(v0, "llama2c/stories260K.bin");
    POME_REQUIRE_TEST_DATA(v1, "llama2c/stories260K_v1.bin");
    const Llama2cModel m = read_llama2c(v0);
    EXPECT_EQ(m.width, 64);
    EXPECT_EQ(m.hidden, 172);
    EXPECT_EQ(m.layers, 5);
    EXPECT_EQ(m.heads, 8);
    EXPECT_EQ(m.kv_heads, 4);
    EXPECT_EQ(m.vocabulary, 512);
    EXPECT_EQ(m.sequence, 512);
    EXPECT_TRUE(m.tied_head);
    std::size_t parameters = 0;
    for (const auto& [name, tensor] : m.tensors) {
        parameters += tensor.values.size();
    }
    EXPECT_EQ(parameters, 260'032U);
    expect_equal(m, read_llama2c(v1));
    // Written again, everything before the RoPE tables is the same, bit for bit.
    const Bytes again = written(m), original = read_file(v0);
    ASSERT_EQ(again.size(), 1'056'540U);
    EXPECT_EQ(std::memcmp(again.data(), original.data(), 28 + 4 * 260'032), 0);
    for (std::size_t at = 28 + 4 * 260'032; at < again.size(); at += 4) {
        // The original's angles are products in fp32: positions up to 512, 2^-24 each.
        ASSERT_NEAR(float_at(again, at), float_at(original, at), 512 * 0x1p-23);
    }
}

TEST(Llama2cModel, RefusesHostileSizes) {
    const Bytes file = written(small_model(true));
    const auto place = " (at byte 0)";
    const auto refused = [&](std::size_t field, std::int32_t value, const std::string& rule) {
        expect_refused(rule + place, with(file, 4 * field, value));
    };
    refused(0, 0, "dim is 0; is this a llama2.c model?");
    refused(0, -8, "dim is -8; is this a llama2.c model?");
    refused(1, -1, "hidden_dim is -1; is this a llama2.c model?");
    refused(2, std::numeric_limits<std::int32_t>::max(),
            "n_layers is 2147483647; is this a llama2.c model?");
    refused(3, 0, "n_heads is 0; is this a llama2.c model?");
    refused(3, 3, "dim 8 is no multiple of n_heads 3");
    refused(3, 8, "the head size 1 is odd, RoPE turns pairs");
    refused(4, -2, "n_kv_heads is -2; is this a llama2.c model?");
    refused(4, 3, "n_heads 4 is no multiple of n_kv_heads 3");
    refused(5, 0, "vocab_size is 0; is this a llama2.c model?");
    refused(5, std::numeric_limits<std::int32_t>::min(),
            "vocab_size is 2147483648; is this a llama2.c model?");
    refused(6, -1, "seq_len is -1; is this a llama2.c model?");
}

TEST(Llama2cModel, TheLengthMustBeExact) {
    Bytes file = written(small_model(true));
    const auto message = [&](std::size_t found, std::string_view wanted) {
        return fmt::format(
            "{} bytes, a model of these sizes has {}; truncated, or not a llama2.c model (at byte "
            "0)",
            found, wanted);
    };
    const auto exact = std::to_string(small_bytes);
    expect_refused(message(small_bytes - 1, exact), Bytes(file.begin(), file.end() - 1));
    expect_refused(message(28, exact), Bytes(file.begin(), file.begin() + 28));
    expect_refused("4 bytes wanted, but the file ends at byte 27; truncated? (at byte 24)",
                   Bytes(file.begin(), file.begin() + 27));
    file.push_back(std::byte{0});
    expect_refused(message(small_bytes + 1, exact), file);
    // Products that do not fit 64 bits: 4 * (6 * 2^72 + 3 * 2^48 + 2^46 + 2^24), nearly.
    Bytes huge = file;
    for (const std::size_t field : {0U, 1U, 2U, 5U, 6U}) {
        huge = with(huge, 4 * field, 1 << 24);
    }
    expect_refused(message(small_bytes + 1, "113336799248046249476096"), huge);
}

TEST(Llama2cModel, NamesAWeightThatIsNotFinite) {
    const Bytes file = written(small_model(true));
    expect_refused("embedding.weight[3] is nan: weights must be finite (at byte 40)",
                   with(file, 28 + 4 * 3, std::numeric_limits<float>::quiet_NaN()));
    expect_refused(
        "layers.1.attention_norm.weight[7] is -inf: weights must be finite (at byte 408)",
        with(file, 28 + 4 * 95, -std::numeric_limits<float>::infinity()));
    EXPECT_NO_THROW(
        parse_llama2c(with(file, small_bytes - 4, std::numeric_limits<float>::quiet_NaN()), "m"))
        << "the RoPE tables are not read";
}

TEST(Llama2cModel, RefusesOtherVersions) {
    Bytes file(256);
    file = with(file, 0, 0x616B3432);
    test::expect_error(Code::unsupported,
                       "[formats.llama2c] m.bin: version 2 (int8) is not read; export version 0 or "
                       "1 from the same checkpoint",
                       [&] { parse_llama2c(with(file, 4, 2), "m.bin"); });
    expect_refused("version 3 is unknown; 0 and 1 are read (at byte 4)", with(file, 4, 3));
    expect_refused("shared_classifier is 7, neither 0 nor 1 (at byte 36)",
                   with(with(file, 4, 1), 36, std::uint8_t{7}));
    expect_refused("dim is 0; is this a llama2.c model? (at byte 8)", with(file, 4, 1));
}

TEST(Llama2cModel, WritesNoModelThatDoesNotFit) {
    const TemporaryDirectory work;
    const auto path = work.path() / "m.bin";
    const auto refused = [&](const std::string& message, const auto& change) {
        Llama2cModel m = small_model(true);
        change(m);
        test::expect_error(Code::invalid_argument,
                           "[formats.llama2c] " + path.string() + ": " + message,
                           [&] { write_llama2c(path, m); });
        EXPECT_FALSE(std::filesystem::exists(path));
    };
    refused("n_heads is 0; is this a llama2.c model?", [](Llama2cModel& m) { m.heads = 0; });
    refused("tensor 'norm.weight' must be [8], it is missing",
            [](Llama2cModel& m) { m.tensors.erase("norm.weight"); });
    refused("tensor 'norm.weight' must be [8], it is [4,2]", [](Llama2cModel& m) {
        m.tensors["norm.weight"].shape = {4, 2};
    });
    refused("tensor 'norm.weight' is [8], but has 7 values",
            [](Llama2cModel& m) { m.tensors["norm.weight"].values.pop_back(); });
    refused("norm.weight[2] is nan: weights must be finite",
            [](Llama2cModel& m) { m.tensors["norm.weight"].values[2] = std::nanf(""); });
    refused("21 tensors given, the format has a place for 20; it holds plain Llama models only",
            [](Llama2cModel& m) { m.tensors["head.weight"] = m.tensors["embedding.weight"]; });
}

TEST(Llama2cModel, AFullDiskLeavesTheOldFile) {
    const TemporaryDirectory work;
    const auto path = work.path() / "m.bin";
    write_file_atomic(path, std::string_view("old"));
    {
        const test::FullDisk full(1000);
        test::expect_error(Code::io,
                           "[base.file] " + path.string() + ": cannot write: File too large",
                           [&] { write_llama2c(path, small_model(true)); });
    }
    EXPECT_EQ(read_text(path), "old");
}

}  // namespace
}  // namespace pome::formats
