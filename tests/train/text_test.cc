#include <gtest/gtest.h>

#include "support/test_data.h"
#include "train/bpe_trainer.h"
#include "train/corpus.h"
#include "train/prepare.h"

namespace pome::train {
namespace {

TEST(Prepare, MistakesAreNamed) {
    EXPECT_EQ(error_text([] { split_documents(" \n<|endoftext|>\n", "e.txt"); }),
              "[data.prepare] e.txt: there is no text in it");
    EXPECT_EQ(
        error_text([] { split_json_lines("{\"text\": \"a\"}\n{\"t\": 1}\n", "text", "d.jsonl"); }),
        "[data.prepare] d.jsonl:2: no text in field 'text'; name the field with --field");
    EXPECT_EQ(split_documents("a\r\nb\r\n<|endoftext|>\n c ", "t"),
              (std::vector<std::string>{"a\nb", "c"}));
    EXPECT_EQ(error_text([] { train_bpe(std::vector<std::string>{"abc"}, 512); }),
              "[train.bpe] the text yields 266 pieces, 512 are wanted; give more text or a smaller "
              "vocabulary");
}

TEST(Bpe, EncodesAndDecodesItsText) {
    const std::vector<std::string> texts = split_documents(generate_stories(1, 50000), "t");
    const auto tokenizer = train_bpe(texts, 512);
    EXPECT_EQ(tokenizer.vocabulary(), 512);
    std::size_t tokens = 0, characters = 0;
    for (const auto& text : texts) {
        const auto ids = tokenizer.encode(text, true, false);
        EXPECT_EQ(tokenizer.decode(ids), text);
        tokens += ids.size();
        characters += text.size();
    }
    EXPECT_LT(tokens * 2, characters) << "merges are not used";
}

}  // namespace
}  // namespace pome::train
