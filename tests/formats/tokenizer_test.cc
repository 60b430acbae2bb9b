#include "formats/tokenizer.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/file.h"
#include "formats/token_shard.h"
#include "support/forged_bytes.h"
#include "support/test_data.h"

namespace pome::formats {
namespace {

TEST(Tokenizer, EncodesRealTextAsItsAuthorsDid) {
    POME_REQUIRE_TEST_DATA(folder, "llama2c");
    const auto tokenizer = Tokenizer::read(folder / "tok512.bin");
    EXPECT_EQ(tokenizer.vocabulary(), 512);
    const TokenShard shard(folder.parent_path() / "text" / "tinystories_2M_tok512.bin");
    std::string text = read_text(folder.parent_path() / "text" / "tinystories_2M.txt");
    text = text.substr(0, text.find("<|endoftext|>"));
    text = text.substr(text.find_first_not_of(" \n"));
    text = text.substr(0, text.find_last_not_of(" \n") + 1);
    const auto ids = tokenizer.encode(text, true, false);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        ASSERT_EQ(ids[i], shard[static_cast<std::int64_t>(i)]) << "token " << i;
    }
    EXPECT_EQ(tokenizer.decode(ids), text);
}

TEST(Tokenizer, SentencePieceAndLlama2cAgree) {
    POME_REQUIRE_TEST_DATA(folder, "llama2c");
    const auto binary = Tokenizer::read(folder / "tokenizer.bin"),
               model = Tokenizer::read(folder / "tokenizer.model");
    ASSERT_EQ(binary.vocabulary(), model.vocabulary());
    for (const char* text : {"Once upon a time, there was a little girl.",
                             "caf\xC3\xA9 \xF0\x9F\x98\x80 x=1;\n  tab", "\xFF\xFE"}) {
        EXPECT_EQ(binary.encode(text, true, true), model.encode(text, true, true)) << text;
        EXPECT_EQ(binary.decode(binary.encode(text, true, false)), text);
    }
}

TEST(Tokenizer, BadFilesAreRefusedInTheseWords) {
    EXPECT_EQ(error_text([] { Tokenizer::parse_llama2c(test::to_bytes("garbage!"), "t"); }),
              "[formats.tokenizer] t: longest token of 1651663207 bytes; is this a tokenizer.bin "
              "of llama2.c? (at byte 0)");
    ByteWriter out;
    out.put<std::uint32_t>(5);
    out.put(1.0F);
    out.put<std::int32_t>(100);
    EXPECT_EQ(error_text([&] { Tokenizer::parse_llama2c(out.bytes(), "t"); }),
              "[formats.tokenizer] t: 100 bytes wanted, but the file ends at byte 12; truncated? "
              "(at byte 12)");
    std::vector<Tokenizer::Piece> pieces(300, {"x", 0.0F});
    EXPECT_EQ(error_text([&] { Tokenizer(pieces).expect_vocabulary(512, "t.bin"); }),
              "[formats.tokenizer] t.bin: 300 tokens, the model has a vocabulary of 512; use the "
              "tokenizer that the model was trained with");
    EXPECT_EQ(error_text([&] { Tokenizer(pieces).decode(1, 300); }),
              "[formats.tokenizer] token id 300 is outside the vocabulary of 300");
}

}  // namespace
}  // namespace pome::formats
