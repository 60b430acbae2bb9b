#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "formats/tokenizer.h"

namespace pome::train {

/// Learns a byte-pair tokenizer of `vocabulary` pieces from texts: the special and byte tokens,
/// every character that occurs, then the pair of neighbours that occurs most often inside words,
/// again and again. Scores fall in that order, so that encoding merges in it too. Deterministic.
/// Throws Error{invalid_argument} when the vocabulary is too small for the characters or the text
/// too small for the vocabulary.
formats::Tokenizer train_bpe(std::span<const std::string> texts, std::int64_t vocabulary);

}  // namespace pome::train
