// SentencePiece .model files: a protobuf whose field 1 repeats {1: text, 2: score, 3: type}. Read
// from the wire format; the other fields are skipped.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <bit>
#include <cmath>

#include "base/error.h"
#include "formats/tokenizer.h"

namespace pome::formats {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr std::string_view here = "formats.tokenizer";

/// SentencePiece marks spaces with U+2581.
std::string with_spaces(std::string text) {
    constexpr std::string_view mark = "\xE2\x96\x81";
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
        text.replace(at, mark.size(), " ");
    }
    return text;
}

bool read_piece(CodedInputStream& in, Tokenizer::Piece& piece) {
    while (const std::uint32_t tag = in.ReadTag()) {
        std::uint32_t value = 0;
        switch (tag) {
            case 0x0A:
                if (!in.ReadVarint32(&value) ||
                    !in.ReadString(&piece.text, static_cast<int>(value))) {
                    return false;
                }
                break;
            case 0x15:
                if (!in.ReadLittleEndian32(&value)) {
                    return false;
                }
                piece.score = std::bit_cast<float>(value);
                break;
            default:
                if (!WireFormatLite::SkipField(&in, tag)) {
                    return false;
                }
        }
    }
    return in.ConsumedEntireMessage();
}

}  // namespace

Tokenizer Tokenizer::parse_sentencepiece(std::span<const std::byte> bytes,
                                         std::string_view source) {
    CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                        static_cast<int>(bytes.size()));
    std::vector<Piece> pieces;
    const auto broken = [&] {
        fail(Code::malformed_file, here,
             "{}: not a SentencePiece model: broken after {} pieces (at byte {})", source,
             pieces.size(), in.CurrentPosition());
    };
    while (const std::uint32_t tag = in.ReadTag()) {
        if (tag != 0x0A) {
            if (!WireFormatLite::SkipField(&in, tag)) {
                broken();
            }
            continue;
        }
        std::uint32_t length = 0;
        if (!in.ReadVarint32(&length) || length > bytes.size()) {
            broken();
        }
        const auto limit = in.PushLimit(static_cast<int>(length));
        Piece piece;
        if (!read_piece(in, piece) || !std::isfinite(piece.score)) {
            broken();
        }
        in.PopLimit(limit);
        piece.text = with_spaces(std::move(piece.text));
        if (pieces.size() == bos || pieces.size() == eos) {
            piece.text = "\n" + piece.text + "\n";
        }  // as llama2.c stores them
        pieces.push_back(std::move(piece));
    }
    if (!in.ConsumedEntireMessage()) {
        broken();
    }
    if (pieces.size() < 259) {
        fail(Code::malformed_file, here, "{}: {} pieces are too few for a model with byte fallback",
             source, pieces.size());
    }
    return Tokenizer(std::move(pieces));
}

}  // namespace pome::formats
