#include "formats/token_shard.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "support/expect_error.h"
#include "support/forged_bytes.h"
#include "support/full_disk.h"
#include "support/test_data.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;
using test::with;

std::vector<std::int32_t> all(const TokenIds& ids) {
    std::vector<std::int32_t> result;
    for (std::int64_t i = 0; i < ids.size(); ++i) {
        result.push_back(ids[i]);
    }
    return result;
}

/// Our format: three ids of `bits` bits, of which the last is `last`.
Bytes file_of(std::uint32_t bits, std::uint32_t last, std::uint64_t vocabulary) {
    ByteWriter out;
    out.put_bytes(test::as_bytes(std::string_view("POMETOK\0", 8)));
    out.put<std::uint32_t>(1);
    out.put(bits);
    out.put<std::uint64_t>(3);
    out.put(vocabulary);
    for (const std::uint32_t id : {0U, 1U, last}) {
        if (bits == 16) {
            out.put(static_cast<std::uint16_t>(id));
        } else {
            out.put(id);
        }
    }
    return out.take();
}

void expect_refused(std::string_view message, const Bytes& file) {
    test::expect_error(Code::malformed_file, "[formats.tokens] t.bin: " + std::string(message),
                       [&] { TokenIds(file, "t.bin"); });
}

TEST(TokenShard, SmallVocabulariesAreFlat) {
    const TemporaryDirectory work;
    const auto path = work.path() / "t.bin";
    write_tokens(path, std::vector<std::int32_t>{1, 258, 65535}, 65536);
    EXPECT_EQ(read_file(path), test::to_bytes(std::string_view("\1\0\2\1\xFF\xFF", 6)));
    const TokenShard shard(path);
    EXPECT_EQ(shard.size(), 3);
    EXPECT_EQ(shard.vocabulary(), 0) << "flat files state none";
    EXPECT_EQ(shard[1], 258);
    EXPECT_NO_THROW(shard.check_vocabulary(65536));
}

TEST(TokenShard, LargeVocabulariesHaveAHeader) {
    const TemporaryDirectory work;
    const auto path = work.path() / "t.bin";
    const std::vector<std::int32_t> ids{0, 1, 151'935};
    write_tokens(path, ids, 151'936);
    EXPECT_EQ(read_file(path), file_of(32, 151'935, 151'936));
    TokenShard first(path);
    const TokenShard shard(std::move(first));
    EXPECT_EQ(shard.size(), 3);
    EXPECT_EQ(shard.vocabulary(), 151'936);
    EXPECT_EQ(shard[2], 151'935);
    EXPECT_EQ(all(TokenIds(file_of(16, 9, 10), "t")), (std::vector<std::int32_t>{0, 1, 9}));
}

TEST(TokenShard, NamesTheFirstIdBeyondTheVocabulary) {
    const Bytes flat = test::to_bytes(std::string_view("\1\0\2\0\x0A\0\x0B\0", 8));
    const auto refused = [](std::string_view message, const Bytes& file, std::int64_t vocabulary) {
        test::expect_error(Code::malformed_file, "[formats.tokens] t.bin: " + std::string(message),
                           [&] { TokenIds(file, "t.bin").check_vocabulary(vocabulary); });
    };
    refused("token 2 has id 10, the vocabulary has 10; prepare the data with the model's tokenizer",
            flat, 10);
    EXPECT_NO_THROW(TokenIds(flat, "t").check_vocabulary(12));
    const Bytes negative = file_of(32, 0xFFFFFFFF, 100'000);
    refused(
        "token 2 has id 4294967295, the vocabulary has 100000; prepare the data with the "
        "model's tokenizer",
        negative, 100'000);
    EXPECT_EQ(TokenIds(negative, "t")[2], 0x7FFFFFFF) << "never negative";
}

TEST(TokenShard, RefusesOtherFiles) {
    expect_refused("the file is empty; make token files with `pome data prepare` (at byte 0)", {});
    expect_refused("7 bytes is no whole number of uint16 ids; truncated? (at byte 7)", Bytes(7));
    const Bytes file = file_of(32, 2, 10);
    expect_refused("32 bytes wanted, but the file ends at byte 31; truncated? (at byte 0)",
                   Bytes(file.begin(), file.begin() + 31));
    expect_refused("version 2 is unknown; 1 is read (at byte 8)", with(file, 8, 2));
    expect_refused("24 bits an id; 16 and 32 are read (at byte 12)", with(file, 12, 24));
    expect_refused("3 ids of 32 bits do not fill 11 bytes; truncated? (at byte 16)",
                   Bytes(file.begin(), file.end() - 1));
    expect_refused("4 ids of 32 bits do not fill 12 bytes; truncated? (at byte 16)",
                   with(file, 16, std::uint64_t{4}));
    // Four times this wraps to the 12 bytes that are there.
    expect_refused(
        "4611686018427387907 ids of 32 bits do not fill 12 bytes; truncated? (at byte 16)",
        with(file, 16, (std::uint64_t{1} << 62) + 3));
    const Bytes none = with(file, 16, std::uint64_t{0});
    expect_refused("the file has no ids (at byte 16)", Bytes(none.begin(), none.begin() + 32));
    expect_refused("a vocabulary of 0, it must be 1 to 2147483647 with 32 bits an id (at byte 24)",
                   with(file, 24, std::uint64_t{0}));
    expect_refused(
        "a vocabulary of 2147483648, it must be 1 to 2147483647 with 32 bits an id (at byte 24)",
        with(file, 24, std::uint64_t{1} << 31));
    expect_refused("a vocabulary of 65537, it must be 1 to 65536 with 16 bits an id (at byte 24)",
                   file_of(16, 2, 65537));
}

TEST(TokenShard, WritesOnlyIdsOfTheVocabulary) {
    const TemporaryDirectory work;
    const auto path = work.path() / "t.bin";
    const auto refused = [&](const std::string& message, std::vector<std::int32_t> ids,
                             std::int64_t vocabulary) {
        test::expect_error(Code::invalid_argument,
                           "[formats.tokens] " + path.string() + ": " + message,
                           [&] { write_tokens(path, ids, vocabulary); });
        EXPECT_FALSE(std::filesystem::exists(path));
    };
    refused("token 1 has id 10, the vocabulary has 10", {9, 10}, 10);
    refused("token 0 has id -1, the vocabulary has 70000", {-1}, 70'000);
    refused("a vocabulary of 0, it must be 1 to 2147483647", {}, 0);
    refused("a vocabulary of 2147483648, it must be 1 to 2147483647", {}, std::int64_t{1} << 31);
}

TEST(TokenShard, AFullDiskLeavesTheOldFile) {
    const TemporaryDirectory work;
    const auto path = work.path() / "t.bin";
    write_tokens(path, std::vector<std::int32_t>{5}, 10);
    {
        const test::FullDisk full(1000);
        test::expect_error(Code::io,
                           "[base.file] " + path.string() + ": cannot write: File too large",
                           [&] { write_tokens(path, std::vector<std::int32_t>(1000, 1), 10); });
    }
    EXPECT_EQ(TokenShard(path)[0], 5);
}

TEST(TokenShard, ReadsRealTokens) {
    POME_REQUIRE_TEST_DATA(small, "text/tinystories_2M_tok512.bin");
    POME_REQUIRE_TEST_DATA(large, "text/tinystories_2M_llama32k.bin");
    const TokenShard tok512(small), llama(large);
    EXPECT_EQ(tok512.size(), 1'032'054);
    EXPECT_EQ(llama.size(), 544'865);
    EXPECT_EQ(tok512[0], 1) << "each story starts with BOS";
    EXPECT_EQ(llama[0], 1);
    EXPECT_NO_THROW(tok512.check_vocabulary(512));
    EXPECT_NO_THROW(llama.check_vocabulary(32'000));
    EXPECT_THROW(llama.check_vocabulary(512), Error);
}

}  // namespace
}  // namespace pome::formats
