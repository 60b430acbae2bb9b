#include "formats/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "base/bytes.h"
#include "base/file.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.tokenizer";
constexpr std::uint64_t longest_file = std::uint64_t{1} << 28;
constexpr std::int32_t longest_piece = 1 << 16;

/// Length of the UTF-8 sequence that starts with this byte, 1 for bytes that start none.
std::size_t sequence_length(unsigned char first) {
    if (first >= 0xF0 && first < 0xF8) {
        return 4;
    }
    if (first >= 0xE0 && first < 0xF0) {
        return 3;
    }
    if (first >= 0xC0 && first < 0xE0) {
        return 2;
    }
    return 1;
}

}  // namespace

Tokenizer::Tokenizer(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {
    if (pieces_.size() < 259) {
        fail(Code::invalid_argument, here,
             "{} pieces are too few: 3 special and 256 byte tokens come first", pieces_.size());
    }
    // Equal texts: the lowest id, as a sorted search would find it.
    for (std::size_t id = pieces_.size(); id-- > 0;) {
        by_text_[pieces_[id].text] = static_cast<std::int32_t>(id);
    }
}

Tokenizer Tokenizer::read(const std::filesystem::path& path) {
    const auto bytes = read_file(path, longest_file);
    // A SentencePiece model is a protobuf that starts with its first piece: field 1, a message.
    const bool sentencepiece = bytes.size() > 2 && bytes[0] == std::byte{0x0A};
    if (sentencepiece && path.extension() != ".bin") {
        return parse_sentencepiece(bytes, path.string());
    }
    return parse_llama2c(bytes, path.string());
}

Tokenizer Tokenizer::parse_llama2c(std::span<const std::byte> bytes, std::string_view source) {
    const ByteReader in(bytes, here, source);
    const std::uint32_t longest = in.u32(0);
    if (longest < 1 || longest > static_cast<std::uint32_t>(longest_piece)) {
        in.fail_at(0, "longest token of {} bytes; is this a tokenizer.bin of llama2.c?", longest);
    }
    std::vector<Piece> pieces;
    for (std::uint64_t at = 4; at < in.size();) {
        const float score = in.f32(at);
        const std::int32_t length = in.i32(at + 4);
        if (!std::isfinite(score)) {
            in.fail_at(at, "the score of token {} is not finite", pieces.size());
        }
        if (length < 0 || length > longest_piece) {
            in.fail_at(at + 4, "token {} has {} bytes", pieces.size(), length);
        }
        const auto text = in.bytes(at + 8, static_cast<std::uint64_t>(length));
        pieces.push_back(
            {std::string(reinterpret_cast<const char*>(text.data()), text.size()), score});
        at += 8 + static_cast<std::uint64_t>(length);
    }
    if (pieces.size() < 259) {
        in.fail_at(in.size(),
                   "{} tokens are too few: 3 special and 256 byte tokens come first; truncated?",
                   pieces.size());
    }
    return Tokenizer(std::move(pieces));
}

void Tokenizer::expect_vocabulary(std::int64_t wanted, std::string_view source) const {
    if (vocabulary() != wanted) {
        fail(Code::invalid_argument, here,
             "{}: {} tokens, the model has a vocabulary of {}; use the tokenizer that the model "
             "was trained with",
             source, vocabulary(), wanted);
    }
}

void Tokenizer::merge(std::vector<std::int32_t>& ids) const {
    // Linked list of symbols; a queue of joinable neighbours by score, the first of equals first.
    struct Symbol {
        std::int32_t id;
        std::int64_t previous, next;
    };
    struct Candidate {
        float score;
        std::int64_t left;
        std::int32_t left_id, right_id, joined;
        bool operator<(const Candidate& other) const {
            return score != other.score ? score < other.score : left > other.left;
        }
    };
    std::vector<Symbol> symbols(ids.size());
    std::priority_queue<Candidate> queue;
    std::string joined;
    const auto consider = [&](std::int64_t left) {
        const std::int64_t right = symbols[static_cast<std::size_t>(left)].next;
        if (right < 0) {
            return;
        }
        const std::int32_t a = symbols[static_cast<std::size_t>(left)].id,
                           b = symbols[static_cast<std::size_t>(right)].id;
        joined =
            pieces_[static_cast<std::size_t>(a)].text + pieces_[static_cast<std::size_t>(b)].text;
        if (const auto found = by_text_.find(joined); found != by_text_.end()) {
            queue.push({pieces_[static_cast<std::size_t>(found->second)].score, left, a, b,
                        found->second});
        }
    };
    const auto count = static_cast<std::int64_t>(ids.size());
    for (std::int64_t i = 0; i < count; ++i) {
        symbols[static_cast<std::size_t>(i)] = {ids[static_cast<std::size_t>(i)], i - 1,
                                                i + 1 < count ? i + 1 : -1};
    }
    for (std::int64_t i = 0; i + 1 < count; ++i) {
        consider(i);
    }
    while (!queue.empty()) {
        const Candidate best = queue.top();
        queue.pop();
        Symbol& left = symbols[static_cast<std::size_t>(best.left)];
        if (left.id != best.left_id || left.next < 0 ||
            symbols[static_cast<std::size_t>(left.next)].id != best.right_id) {
            continue;  // one of the two was merged meanwhile
        }
        Symbol& right = symbols[static_cast<std::size_t>(left.next)];
        left.id = best.joined;
        right.id = -1;
        left.next = right.next;
        if (right.next >= 0) {
            symbols[static_cast<std::size_t>(right.next)].previous = best.left;
        }
        consider(best.left);
        if (left.previous >= 0) {
            consider(left.previous);
        }
    }
    ids.clear();
    for (std::int64_t i = count > 0 ? 0 : -1; i >= 0;
         i = symbols[static_cast<std::size_t>(i)].next) {
        ids.push_back(symbols[static_cast<std::size_t>(i)].id);
    }
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool with_bos,
                                            bool with_eos) const {
    std::vector<std::int32_t> ids;
    if (!text.empty()) {
        if (const auto space = by_text_.find(" "); space != by_text_.end()) {
            ids.push_back(space->second);
        }
    }
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length =
            std::min(sequence_length(static_cast<unsigned char>(text[i])), text.size() - i);
        const auto found = by_text_.find(std::string(text.substr(i, length)));
        if (found != by_text_.end()) {
            ids.push_back(found->second);
            i += length;
        } else {
            for (std::size_t end = i + length; i < end; ++i) {
                ids.push_back(first_byte + static_cast<unsigned char>(text[i]));
            }
        }
    }
    merge(ids);
    if (with_bos) {
        ids.insert(ids.begin(), bos);
    }
    if (with_eos) {
        ids.push_back(eos);
    }
    return ids;
}

std::string Tokenizer::decode(std::int32_t previous, std::int32_t token) const {
    if (token < 0 || token >= vocabulary()) {
        fail(Code::invalid_argument, here, "token id {} is outside the vocabulary of {}", token,
             vocabulary());
    }
    if (token >= first_byte && token < first_byte + 256) {
        return {static_cast<char>(token - first_byte)};
    }
    const std::string& text = pieces_[static_cast<std::size_t>(token)].text;
    return previous == bos && text.starts_with(' ') ? text.substr(1) : text;
}

std::string Tokenizer::decode(std::span<const std::int32_t> tokens) const {
    std::string text;
    std::int32_t previous = bos;
    for (const std::int32_t token : tokens) {
        if (token != bos && token != eos) {
            text += decode(previous, token);
        }
        previous = token;
    }
    return text;
}

std::vector<std::byte> Tokenizer::bytes() const {
    ByteWriter out;
    std::size_t longest = 1;
    for (const Piece& piece : pieces_) {
        longest = std::max(longest, piece.text.size());
    }
    out.put(static_cast<std::uint32_t>(longest));
    for (const Piece& piece : pieces_) {
        out.put(piece.score);
        out.put(static_cast<std::int32_t>(piece.text.size()));
        out.put_bytes(std::as_bytes(std::span(piece.text)));
    }
    return out.take();
}

}  // namespace pome::formats
