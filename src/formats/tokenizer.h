#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pome::formats {

/// A byte-pair tokenizer as llama2.c and SentencePiece have it: ids 0 unknown, 1 beginning of text,
/// 2 end of text, 3..258 the bytes, then pieces of text. Pairs merge by the score of what they
/// join, highest first.
class Tokenizer {
  public:
    static constexpr std::int32_t bos = 1, eos = 2, first_byte = 3;

    struct Piece {
        std::string text;
        float score = 0.0F;
    };

    /// Throws Error{invalid_argument} unless there are at least 259 pieces.
    explicit Tokenizer(std::vector<Piece> pieces);
    /// llama2.c's tokenizer.bin or a SentencePiece .model, told apart by content. Throws
    /// Error{malformed_file, io}.
    static Tokenizer read(const std::filesystem::path& path);
    static Tokenizer parse_llama2c(std::span<const std::byte> bytes, std::string_view source);
    static Tokenizer parse_sentencepiece(std::span<const std::byte> bytes, std::string_view source);

    std::int32_t vocabulary() const { return static_cast<std::int32_t>(pieces_.size()); }
    const std::vector<Piece>& pieces() const { return pieces_; }
    /// Throws Error{invalid_argument} when the tokenizer has not the vocabulary that a model wants.
    void expect_vocabulary(std::int64_t wanted, std::string_view source) const;

    /// Ids of a text: a space is put before it, bytes that are no piece become byte tokens.
    std::vector<std::int32_t> encode(std::string_view text, bool with_bos, bool with_eos) const;
    /// The text of `token` after `previous` (after bos one leading space is dropped).
    std::string decode(std::int32_t previous, std::int32_t token) const;
    std::string decode(std::span<const std::int32_t> tokens) const;

    /// The llama2.c file.
    std::vector<std::byte> bytes() const;

  private:
    void merge(std::vector<std::int32_t>& ids) const;

    std::vector<Piece> pieces_;
    std::unordered_map<std::string, std::int32_t> by_text_;
};

}  // namespace pome::formats
